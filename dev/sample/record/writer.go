package record

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// FlushEvery is how much of a client's memory its sudden death may take.
const FlushEvery = 100 * time.Millisecond

// Writer appends to one file. It is safe for concurrent use.
type Writer struct {
	file *os.File

	mu     sync.Mutex
	buffer bytes.Buffer
	nextID uint64
	open   map[uint64]*Line // under way; Marked ones have their Started line
	marked map[uint64]bool
}

// Create makes the file, which must not be there yet: one client process, one file.
func Create(path string) (*Writer, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &Writer{file: file, open: map[uint64]*Line{}, marked: map[uint64]bool{}}, nil
}

// Write adds a line about no request, and flushes: such lines are few and somebody waits for them.
func (w *Writer) Write(line Line) error {
	w.mu.Lock()
	w.add(&line)
	w.mu.Unlock()
	return w.Flush()
}

// Start says that a request begins now; the returned number ends it.
func (w *Writer) Start(service string, at Time) uint64 { return w.StartWrite(service, at, Write{}) }

// StartWrite is Start of a write.
func (w *Writer) StartWrite(service string, at Time, write Write) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nextID++
	w.open[w.nextID] = &Line{What: Started, At: at, ID: w.nextID, Service: service, Write: write}
	return w.nextID
}

// End says how a request ended. The line's At, ID and Service are filled in.
func (w *Writer) End(id uint64, line Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	begun := w.open[id]
	delete(w.open, id)
	delete(w.marked, id)
	line.What, line.ID, line.At, line.Service = Ended, id, begun.At, begun.Service
	w.add(&line)
}

func (w *Writer) add(line *Line) {
	encoded, err := json.Marshal(line)
	if err != nil {
		panic(fmt.Sprintf("record line can't be encoded: %v", err)) // strings and numbers only
	}
	w.buffer.Write(encoded)
	w.buffer.WriteByte('\n')
}

// Flush appends what is buffered, and a mark for each request under way that has none yet.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, line := range w.open {
		if !w.marked[id] {
			w.marked[id] = true
			w.add(line)
		}
	}
	if w.buffer.Len() == 0 {
		return nil
	}
	_, err := w.file.Write(w.buffer.Bytes())
	w.buffer.Reset()
	return err
}

// Run flushes until ctx ends.
func (w *Writer) Run(ctx context.Context) error {
	ticker := time.NewTicker(FlushEvery / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return w.Flush()
		case <-ticker.C:
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
}

// Close ends the file in order.
func (w *Writer) Close() error {
	if err := w.Write(Line{What: Closed, At: Now()}); err != nil {
		return err
	}
	return w.file.Close()
}
