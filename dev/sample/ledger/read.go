package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pentad.dev/pentad/dev/sample/record"
)

// Entry is a write in a member's log, for the oracle.
type Entry struct {
	Index uint64
	// Token is the one under which the primary wrote it.
	Token uint64
	// ID is empty of the entry that a primary begins with.
	ID    string
	Shard int
	Key   string
	// Since is the epoch of the shard's range under which the guard let the write in.
	Since uint64
	// AcceptedAt is when the primary took it, holding a permit, and AcceptedBy the primary. That alone is no
	// acknowledgement.
	AcceptedAt record.Time
	AcceptedBy string
}

// Event is what a member did, for the oracle.
type Event struct {
	// What is started, opened, closed or kept.
	What string `json:"what"`
	// At is when. Of a member whose permit ended it is the permit's end.
	At     record.Time `json:"at"`
	Store  string      `json:"store"`
	Member string      `json:"member"`
	// Token is the one under which the member took writes, or that it keeps.
	Token uint64 `json:"token"`
	// Why a member was closed.
	Why string `json:"why,omitempty"`
}

// What an Event says.
const (
	// Started: the process began, closed.
	Started = "started"
	// Opened: from now on the member takes writes.
	Opened = "opened"
	// Closed: it takes none any more. A member that dies writes none: its last Opened ends with its process.
	Closed = "closed"
	// Kept: from now on it refuses tokens lower than this.
	Kept = "kept"
)

// ReadLog returns the log of a member that need not live any more. A torn tail is left out, as the member leaves it out
// when it starts.
func ReadLog(dir string) ([]Entry, error) {
	data, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil {
		return nil, err
	}
	raw, _ := readRecords(data)
	entries := make([]Entry, len(raw))
	for i, r := range raw {
		_, e, err := decodeEntry(r.record, uint64(i+1))
		if err != nil {
			return nil, err
		}
		w := e.GetWrite()
		entries[i] = Entry{
			Index: e.GetIndex(), Token: e.GetToken(), ID: w.GetId(), Shard: int(w.GetShard()), Key: w.GetKey(),
			Since: w.GetSince(), AcceptedAt: record.Time(e.GetAcceptedAt()), AcceptedBy: e.GetAcceptedBy(),
		}
	}
	return entries, nil
}

// ReadEvents returns the events of a member, all processes of its life. A torn last line is left out.
func ReadEvents(dir string) ([]Event, error) {
	data, err := os.ReadFile(filepath.Join(dir, eventsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var events []Event
	for n := 1; ; n++ {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		if !whole {
			return events, nil
		}
		data = rest
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return events, fmt.Errorf("%s: line %d: %w", filepath.Join(dir, eventsFile), n, err)
		}
		events = append(events, e)
	}
}
