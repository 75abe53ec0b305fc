package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Files of a member's folder.
const (
	logFile    = "log"
	tokenFile  = "token"
	eventsFile = "events.jsonl"
)

// disk is what a member keeps. An error of any of its writes leaves it unknown what is on disk, and ends the member: a
// failed fsync may drop the pages, so trying again would lie.
type disk interface {
	// append writes records after the last one; they are safe after sync.
	append(records [][]byte) error
	// truncate drops all records but the first n, and has synced when it returns.
	truncate(n int) error
	sync() error
	// keep has the token on disk when it returns.
	keep(token uint64) error
	// note writes an event for the oracle; it is not synced.
	note(Event) error
	close() error
}

// files is a disk in a folder.
type files struct {
	dir    string
	log    *os.File
	token  *os.File
	events *os.File
	// kept counts the tokens: the next goes to the slot that does not have the last.
	kept int
	// ends are the offsets at which the records end.
	ends []int64
}

// openFiles opens a folder, for this process alone, and returns what it holds. A torn tail is cut off: it was never
// acknowledged.
func openFiles(dir string) (_ *files, entries []entry, token uint64, cut int64, err error) {
	f := &files{dir: dir}
	defer func() {
		if err != nil {
			_ = f.close()
		}
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, 0, 0, err
	}
	if token, f.kept, err = readSlots(dir); err != nil {
		return nil, nil, 0, 0, err
	}
	if f.log, err = os.OpenFile(filepath.Join(dir, logFile), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, nil, 0, 0, err
	}
	if err := unix.Flock(int(f.log.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, nil, 0, 0, fmt.Errorf("dir: %s: is another process's: %w", dir, err)
	}
	if err := f.openToken(token); err != nil {
		return nil, nil, 0, 0, err
	}
	path := filepath.Join(dir, eventsFile)
	if f.events, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err != nil {
		return nil, nil, 0, 0, err
	}
	if err := cutLine(f.events.Name()); err != nil {
		return nil, nil, 0, 0, err
	}
	data, err := os.ReadFile(f.log.Name())
	if err != nil {
		return nil, nil, 0, 0, err
	}
	entries, rest := readRecords(data)
	for _, e := range entries {
		f.ends = append(f.ends, f.size()+int64(len(e.record)))
	}
	if err := errors.Join(f.truncate(len(entries)), syncDir(dir)); err != nil {
		return nil, nil, 0, 0, err
	}
	return f, entries, token, int64(len(rest)), nil
}

// openToken has the token in both slots, so that from then on any of them may be torn.
func (f *files) openToken(token uint64) (err error) {
	f.token, err = os.OpenFile(filepath.Join(f.dir, tokenFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(f.keep(token), f.keep(token))
}

// readRecords returns the entries up to the first that is torn or damaged, and what follows.
func readRecords(data []byte) (entries []entry, rest []byte) {
	for {
		record, after, ok := cutRecord(data)
		if !ok {
			return entries, data
		}
		e, _, err := decodeEntry(record, uint64(len(entries)+1))
		if err != nil {
			return entries, data
		}
		entries, data = append(entries, e), after
	}
}

// The file of tokens has two slots of a line each, written in turn, so that a torn one leaves the other; the higher
// whole one counts. A token costs one fsync so, and the file can be read by people.
const slotBytes = 30

func slot(token uint64) []byte {
	number := fmt.Sprintf("%020d", token)
	return fmt.Appendf(nil, "%s %08x\n", number, crc32.Checksum([]byte(number), castagnoli))
}

func readToken(dir string) (uint64, error) {
	token, _, err := readSlots(dir)
	return token, err
}

// readSlots also says which slot has the token: the other is to be written next.
func readSlots(dir string) (highest uint64, at int, err error) {
	path := filepath.Join(dir, tokenFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	whole := len(data) == 0 // made, and not written yet
	for i := 0; len(data) >= slotBytes; i, data = i+1, data[slotBytes:] {
		token, err := strconv.ParseUint(string(data[:20]), 10, 64)
		if err != nil || !bytes.Equal(slot(token), data[:slotBytes]) {
			continue
		}
		if !whole || token > highest {
			highest, at = token, i
		}
		whole = true
	}
	if !whole {
		return 0, 0, fmt.Errorf("%s: neither slot is whole: the token that this member keeps is lost", path)
	}
	return highest, at, nil
}

// cutLine cuts a torn last line off.
func cutLine(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, int64(bytes.LastIndexByte(data, '\n')+1))
}

func (f *files) size() int64 {
	if len(f.ends) == 0 {
		return 0
	}
	return f.ends[len(f.ends)-1]
}

func (f *files) append(records [][]byte) error {
	at := f.size()
	var all []byte
	for _, r := range records {
		all = append(all, r...)
		f.ends = append(f.ends, at+int64(len(all)))
	}
	_, err := f.log.WriteAt(all, at)
	return err
}

func (f *files) truncate(n int) error {
	f.ends = f.ends[:n]
	return errors.Join(f.log.Truncate(f.size()), f.log.Sync())
}

func (f *files) sync() error { return unix.Fdatasync(int(f.log.Fd())) }

func (f *files) keep(token uint64) error {
	f.kept++
	if _, err := f.token.WriteAt(slot(token), int64(f.kept%2)*slotBytes); err != nil {
		return err
	}
	return unix.Fdatasync(int(f.token.Fd()))
}

func (f *files) note(e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = f.events.Write(append(line, '\n'))
	return err
}

func (f *files) close() error {
	var errs []error
	for _, file := range []*os.File{f.log, f.token, f.events} {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
