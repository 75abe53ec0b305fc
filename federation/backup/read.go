package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Reader reads the content of a backup. It returns io.EOF only when the whole file is there and unchanged: who has not
// read up to that knows nothing. All other errors wrap ErrFile.
type Reader struct {
	header Header
	r      *bufio.Reader
	hash   hash.Hash
	piece  []byte
	err    error
}

// Read reads the header. Errors: ErrFile, ErrVersion.
func Read(r io.Reader) (*Reader, error) {
	in := &Reader{r: bufio.NewReaderSize(r, maxPiece), hash: sha256.New()}
	line, err := in.r.ReadSlice('\n')
	if bytes.HasPrefix(line, []byte(magic)) && len(line) <= maxLine && err == nil {
		if v := string(line[len(magic) : len(line)-1]); v != version {
			return nil, fmt.Errorf("%w: it is of version %q, and this build reads %q: use the build that wrote it", ErrVersion, v, version)
		}
	} else {
		return nil, fmt.Errorf("%w: it begins with %.20q: must begin with %q", ErrFile, line, magic+version)
	}
	in.hash.Write(line)
	header, err := in.frame(maxHeader)
	if err == nil && header == nil {
		err = fmt.Errorf("%w: it has no header", ErrFile)
	}
	if err == nil {
		in.header, err = decodeHeader(header)
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

// Header says what the backup is of. It is what the file says, and no more than that before the end was reached.
func (in *Reader) Header() Header { return in.header }

// Read implements io.Reader.
func (in *Reader) Read(b []byte) (int, error) {
	for len(in.piece) == 0 && in.err == nil {
		in.piece, in.err = in.frame(maxPiece)
		if in.err == nil && in.piece == nil {
			in.err = in.end()
		}
	}
	if len(in.piece) == 0 {
		return 0, in.err
	}
	n := copy(b, in.piece)
	in.piece = in.piece[n:]
	return n, nil
}

// Verify reads what is left, and says whether the whole file is there and unchanged.
func (in *Reader) Verify() error {
	_, err := io.Copy(io.Discard, in)
	return err
}

// frame reads one; nil for the 0 at the end.
func (in *Reader) frame(most uint64) ([]byte, error) {
	length, err := binary.ReadUvarint(byteReader{in})
	if err != nil {
		return nil, cut(err)
	}
	if length > most {
		return nil, fmt.Errorf("%w: a piece of %d bytes: must have at most %d", ErrFile, length, most)
	}
	if length == 0 {
		return nil, nil
	}
	b := make([]byte, length)
	if _, err := io.ReadFull(in.r, b); err != nil {
		return nil, cut(err)
	}
	in.hash.Write(b)
	return b, nil
}

// end compares the checksum, which is the last of the file.
func (in *Reader) end() error {
	want, have := in.hash.Sum(nil), make([]byte, sha256.Size)
	if _, err := io.ReadFull(in.r, have); err != nil {
		return cut(err)
	}
	if !bytes.Equal(want, have) {
		return fmt.Errorf("%w: its checksum is %x, and its content has %x: it was altered", ErrFile, have, want)
	}
	switch _, err := in.r.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: there are bytes after its end", ErrFile)
	case !errors.Is(err, io.EOF):
		return cut(err)
	}
	return io.EOF
}

func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut short", ErrFile)
	}
	return fmt.Errorf("%w: %w", ErrFile, err)
}

// byteReader takes what it reads into the checksum.
type byteReader struct{ in *Reader }

func (r byteReader) ReadByte() (byte, error) {
	b, err := r.in.r.ReadByte()
	if err == nil {
		r.in.hash.Write([]byte{b})
	}
	return b, err
}
