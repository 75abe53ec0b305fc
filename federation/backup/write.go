package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"io"
)

// Write writes a backup. An error leaves a file that no reader takes for a whole one.
func Write(w io.Writer, h Header, content io.WriterTo) error {
	h.Taken = h.Taken.UTC()
	if err := h.Validate(); err != nil {
		return fmt.Errorf("backup: header: %w", err)
	}
	header, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("backup: header: %w", err)
	}
	out := &writer{w: w, hash: sha256.New()}
	out.write([]byte(magic + version + "\n"))
	out.frame(header)
	pieces := bufio.NewWriterSize(piecesOf{out}, maxPiece)
	if _, err := content.WriteTo(pieces); err != nil {
		return fmt.Errorf("backup: content: %w", err)
	}
	if err := pieces.Flush(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	out.write([]byte{0})
	out.write(out.hash.Sum(nil))
	if out.err != nil {
		return fmt.Errorf("backup: %w", out.err)
	}
	return nil
}

// writer keeps the first error.
type writer struct {
	w    io.Writer
	hash hash.Hash
	err  error
}

func (o *writer) write(b []byte) {
	if o.err != nil {
		return
	}
	o.hash.Write(b)
	_, o.err = o.w.Write(b)
}

func (o *writer) frame(b []byte) {
	o.write(append(binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64+len(b)), uint64(len(b))), b...))
}

// piecesOf writes each piece as a frame.
type piecesOf struct{ *writer }

func (p piecesOf) Write(b []byte) (n int, err error) {
	for ; len(b) > 0 && p.err == nil; b = b[min(len(b), maxPiece):] {
		piece := b[:min(len(b), maxPiece)]
		p.frame(piece)
		n += len(piece)
	}
	return n, p.err
}
