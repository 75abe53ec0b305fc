package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Reader follows one file while it is written. Lines come out once they are whole; a torn last line, left by a writer
// that was killed, never does.
type Reader struct {
	name   string
	file   *os.File
	rest   []byte
	client string
	open   map[uint64]Line
}

// Open opens a record file.
func Open(path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &Reader{name: filepath.Base(path), file: file, open: map[uint64]Line{}}, nil
}

// Client is the center of the file's client once the first line was read.
func (r *Reader) Client() string { return r.client }

// Next returns what was appended since the last call: ended requests, and the lines about no request.
func (r *Reader) Next() (ended []Request, other []Line, err error) {
	more, err := io.ReadAll(r.file)
	if err != nil {
		return nil, nil, err
	}
	data := append(r.rest, more...)
	for {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		if !whole {
			r.rest = bytes.Clone(data)
			return ended, other, nil
		}
		data = rest
		var l Line
		if err := json.Unmarshal(line, &l); err != nil {
			return ended, other, fmt.Errorf("record file %s: %w", r.name, err)
		}
		switch l.What {
		case Opened:
			r.client = l.Client
			other = append(other, l)
		case Started:
			r.open[l.ID] = l
		case Ended:
			delete(r.open, l.ID)
			ended = append(ended, r.request(l))
		default:
			other = append(other, l)
		}
	}
}

// InFlight are the requests that were marked as under way and have not ended.
func (r *Reader) InFlight() []Request {
	var open []Request
	for _, l := range r.open {
		request := r.request(l)
		request.Open = true
		open = append(open, request)
	}
	return open
}

func (r *Reader) request(l Line) Request {
	return Request{
		File: r.name, Client: r.client, Service: l.Service, Start: l.At, End: l.End, Peer: l.Peer,
		Center: l.Center, Instance: l.Instance, Code: l.Code, Cause: l.Cause, Error: l.Error,
		Write: l.Write,
	}
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }

// Follower reads every record file of a folder, also those that appear later.
type Follower struct {
	dir     string
	readers map[string]*Reader
}

// Follow follows the files in dir.
func Follow(dir string) *Follower { return &Follower{dir: dir, readers: map[string]*Reader{}} }

// Readers opens files that are new and returns all of them.
func (f *Follower) Readers() (map[string]*Reader, error) {
	paths, err := filepath.Glob(filepath.Join(f.dir, "*"+FileExtension))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if f.readers[path] == nil {
			if f.readers[path], err = Open(path); err != nil {
				return nil, err
			}
		}
	}
	return f.readers, nil
}

// Close closes every file.
func (f *Follower) Close() error {
	var errs []error
	for _, r := range f.readers {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
