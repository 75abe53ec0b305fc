package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// JournalExtension ends the names of journals.
const JournalExtension = ".guards"

// JournalFlush is how much of a process's journal its sudden death may take.
const JournalFlush = 5 * time.Millisecond

// What an Entry of a journal says.
const (
	// Admitted: a guard let a write through to the handler.
	Admitted = "admit"
	// Refused: a guard refused a write.
	Refused = "refuse"
	// Door: a guard begins, or ceases, to take writes for a range.
	Door = "door"
)

// Entry is one line of a journal. Opened begins one, Closed ends it in order.
type Entry struct {
	What string `json:"what"`
	At   Time   `json:"at"`

	// Guard is the instance.
	Guard       string `json:"guard,omitempty"`
	Cell        string `json:"cell,omitempty"`
	Unitization string `json:"unitization,omitempty"`
	// Shard is the write's.
	Shard int `json:"shard,omitempty"`
	// Since is the epoch of the shard's or range's last change, as the guard knew it.
	Since  uint64 `json:"since,omitempty"`
	Method string `json:"method,omitempty"`
	// WriteID is the write's, empty where the client gave none.
	WriteID string `json:"write,omitempty"`
	// Reason is why the guard refused.
	Reason string `json:"reason,omitempty"`

	// From and To are a Door's shards, Open says that it opened.
	From int  `json:"from,omitempty"`
	To   int  `json:"to,omitempty"`
	Open bool `json:"open,omitempty"`

	// Left is how long the permit held at the admission; less than 0 for a unit that goes on without.
	Left time.Duration `json:"left,omitempty"`

	// Process, Center, Region and PID are of an Opened line.
	Process string `json:"process,omitempty"`
	Center  string `json:"center,omitempty"`
	Region  string `json:"region,omitempty"`
	PID     int    `json:"pid,omitempty"`
}

// Journal appends to one file, a moment after it was told. It is safe for concurrent use. A nil Journal forgets.
type Journal struct {
	mu     sync.Mutex
	file   *os.File
	buffer bytes.Buffer
	timer  *time.Timer
	armed  bool
	closed bool
	err    error
}

// CreateJournal makes the file, which must not be there yet: one process, one file.
func CreateJournal(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &Journal{file: file}, nil
}

// Add adds an entry. An error of the disk is told by Close.
func (j *Journal) Add(e Entry) {
	if j == nil {
		return
	}
	line, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("journal entry can't be encoded: %v", err)) // strings and numbers only
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	j.buffer.Write(line)
	j.buffer.WriteByte('\n')
	switch {
	case j.armed:
	case j.timer == nil:
		j.timer = time.AfterFunc(JournalFlush, j.flush)
	default:
		j.timer.Reset(JournalFlush)
	}
	j.armed = true
}

func (j *Journal) flush() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.armed = false
	j.append()
}

func (j *Journal) append() {
	if j.closed || j.buffer.Len() == 0 {
		return
	}
	_, err := j.file.Write(j.buffer.Bytes())
	j.err = errors.Join(j.err, err)
	j.buffer.Reset()
}

// Close ends the file in order.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	j.Add(Entry{What: Closed, At: Now()})
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return j.err
	}
	if j.timer != nil {
		j.timer.Stop()
	}
	j.append()
	j.closed = true
	return errors.Join(j.err, j.file.Close())
}

// ReadJournal returns the entries of a journal, which may still be written. A torn last line is left out.
func ReadJournal(path string) ([]Entry, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for number := 1; ; number++ {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		if !whole {
			return entries, nil
		}
		data = rest
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return entries, fmt.Errorf("journal %s: line %d: %w", path, number, err)
		}
		entries = append(entries, e)
	}
}

// ReadJournals returns the journals in a folder by file name, without the extension.
func ReadJournals(dir string) (map[string][]Entry, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+JournalExtension))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	journals := map[string][]Entry{}
	for _, path := range paths {
		if journals[strings.TrimSuffix(filepath.Base(path), JournalExtension)], err = ReadJournal(path); err != nil {
			return nil, err
		}
	}
	return journals, nil
}
