package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrFile says that bytes are not a whole backup: cut short, altered, or something else altogether.
	ErrFile = errors.New("not a whole backup")
	// ErrVersion says that it is a backup of a version that this build does not read.
	ErrVersion = errors.New("backup of another version")
)

const (
	magic = "pentad backup "
	// version is the one that this build writes and reads.
	version = "1"
	// maxLine, maxHeader and maxPiece keep a length that is none from being believed.
	maxLine   = 64
	maxHeader = 64 << 10
	maxPiece  = 64 << 10
)

// Header says what a backup is of.
type Header struct {
	// Cluster is the life of the estate, Server whose state it is.
	Cluster string `json:"cluster"`
	Server  string `json:"server"`
	// Level is the highest level of commands in the state.
	Level uint32 `json:"level"`
	// Incarnation and Revision are the intent's.
	Incarnation uint64 `json:"incarnation,string"`
	Revision    uint64 `json:"revision,string"`
	// Index and Term are those of the last entry of the Raft log that is in it.
	Index uint64 `json:"index,string"`
	Term  uint64 `json:"term,string"`
	// Taken is when, by the server's clock.
	Taken time.Time `json:"taken"`
}

// String is a line for people.
func (h Header) String() string {
	return fmt.Sprintf("state of cluster %s at server %s, %s: revision %d, entry %d of term %d, level %d", h.Cluster, h.Server,
		h.Taken.UTC().Format(time.RFC3339), h.Revision, h.Index, h.Term, h.Level)
}

// Validate says what is missing.
func (h Header) Validate() error {
	var errs []error
	for field, missing := range map[string]bool{"cluster": h.Cluster == "", "server": h.Server == "",
		"level": h.Level == 0, "taken": h.Taken.IsZero()} {
		if missing {
			errs = append(errs, errors.New(field+": must be set"))
		}
	}
	return errors.Join(errs...)
}

func decodeHeader(data []byte) (h Header, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&h); err != nil {
		return h, fmt.Errorf("%w: header: %w", ErrFile, err)
	}
	if again, err := json.Marshal(h); err != nil || !bytes.Equal(again, data) {
		return h, fmt.Errorf("%w: header: not in the form that it was written in", ErrFile)
	}
	if err := h.Validate(); err != nil {
		return h, fmt.Errorf("%w: header: %w", ErrFile, err)
	}
	return h, nil
}
