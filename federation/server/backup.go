package server

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"pentad.dev/pentad/federation/backup"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/process"
)

// raftFolder is the part of a server's data folder that its promises are in.
const raftFolder = "raft"

// backupPath is the API's page that sends a backup.
const backupPath = "/pentad/backup"

// readsIn bounds how long a backup waits for the leader, and for this server's replica.
const readsIn = 10 * time.Second

// BackUp writes a backup of the intent as it is now, or later: everything is in it that was acknowledged before the call
// (rule 2 of intent). It needs a leader, and is written from this server's replica while commands go on.
func (s *Core) BackUp(ctx context.Context, w io.Writer) error {
	write, err := s.backUp(ctx)
	if err != nil {
		return err
	}
	return write(w)
}

// backUp takes the picture.
func (s *Core) backUp(ctx context.Context) (write func(io.Writer) error, err error) {
	ctx, cancel := context.WithTimeout(ctx, readsIn)
	defer cancel()
	revision, err := s.backend.ReadRevision(ctx)
	if err == nil {
		err = s.machine.WaitRevision(ctx, revision)
	}
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	_, _, term := s.node.Leader()
	return pictured(s.machine, backup.Header{
		Cluster: s.node.Folder().Cluster, Server: s.config.Name, Term: term, Taken: time.Now(),
	})
}

// pictured takes the picture of a state machine, and writes it under a header.
func pictured(f *intent.FSM, h backup.Header) (write func(io.Writer) error, err error) {
	picture, about, err := f.Picture()
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	h = describing(about, h)
	return func(w io.Writer) error {
		defer picture.Release()
		return backup.Write(w, h, picture)
	}, nil
}

// describing adds what a state says of itself.
func describing(about *intentpb.Header, h backup.Header) backup.Header {
	h.Level, h.Incarnation, h.Revision = about.GetLevel(), about.GetIncarnation(), about.GetRevision()
	h.Taken = h.Taken.UTC().Round(0)
	if h.Index == 0 {
		h.Index = about.GetApplied()
	}
	return h
}

// backupPage sends a backup, for as long as its reader takes more of it. What breaks off in the middle has no checksum,
// and no reader takes it for whole.
func (s *Core) backupPage(w http.ResponseWriter, r *http.Request) {
	write, err := s.backUp(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	to := newSteady(w, stallsAfter)
	if err = write(to); err == nil {
		err = to.finish()
	}
	if err != nil {
		s.log.Warn("a backup was not written to its end", "error", err)
		panic(http.ErrAbortHandler) // the caller must not see a regular end
	}
	s.backedUp.Store(time.Now().Unix())
}

// BackUpFolder writes a backup of what a stopped server's data folder holds, and says what it is of. Nothing is written
// to the folder. A folder that is in use, damaged or none is a UsageError.
func BackUpFolder(dataDir string, w io.Writer) (consensus.Tail, error) {
	f, tail, err := replay(dataDir, "")
	if err != nil {
		return tail, err
	}
	write, err := pictured(f, backup.Header{
		Cluster: tail.Folder.Cluster, Server: tail.Node, Index: tail.Index, Term: tail.Term, Taken: time.Now(),
	})
	if err != nil {
		return tail, err
	}
	return tail, write(w)
}

// replay makes a state machine of what a folder holds.
func replay(dataDir, name string) (*intent.FSM, consensus.Tail, error) {
	f, err := intent.New(intent.Config{})
	if err != nil {
		return nil, consensus.Tail{}, err
	}
	tail, err := consensus.Replay(consensus.Config{ID: name, Dir: filepath.Join(dataDir, raftFolder)}, machine{f})
	switch {
	case err != nil:
		return nil, tail, process.Usagef("%s: %w", dataDir, err)
	case tail.Folder.Cluster == "" || f.Incarnation() == 0:
		return nil, tail, process.Usagef("%s: it holds no state: its server has not become one of an estate yet", dataDir)
	}
	return f, tail, nil
}

// MayBeLost says what a folder alone cannot tell of: what an operator must know before the state in it is taken for that
// of the estate.
func MayBeLost(t consensus.Tail) []string {
	said := []string{
		fmt.Sprintf("The folder of server %s holds the intent up to entry %d of term %d.", t.Node, t.Index, t.Term),
		"What others acknowledged beyond that, and never reached this server, is not in it.",
	}
	if behind := t.Index - t.SnapshotIndex; behind > 0 {
		said = append(said, fmt.Sprintf("Of its last %d entries, those behind entry %d, the folder alone does not tell which "+
			"a majority had: the latest may never have been acknowledged.", behind, t.SnapshotIndex))
	}
	if t.CurrentTerm > t.Term {
		said = append(said, fmt.Sprintf("It has taken part in term %d and holds nothing of it: there were later leaders, "+
			"and others may hold what they wrote.", t.CurrentTerm))
	}
	return append(said, "Of several survivors, that of the highest term holds most, and of those that of the highest entry.")
}

// Reconciliation is what a restored estate waits for, as the API's page /pentad/reconciliation says.
type Reconciliation struct {
	// Waiting are sentences; none when nothing is to be reconciled.
	Waiting []string `json:"waiting"`
	// Details are what agents say, or do not say, of the stores that are waited for.
	Details []string `json:"details,omitempty"`
}

// reconciliationPage speaks from this server's replica, and of what it hears.
func (s *Core) reconciliationPage(w http.ResponseWriter, _ *http.Request) {
	answer(w, s.Reconciliation())
}

// Reconciliation says what a restored estate waits for, as this server knows.
func (s *Core) Reconciliation() Reconciliation {
	state := s.machine.View().Ownership()
	told := Reconciliation{Waiting: append([]string{}, state.Reconciling()...)}
	if state.Restored == nil {
		return told
	}
	for _, name := range slices.Sorted(maps.Keys(state.Restored.Recoveries)) {
		store := state.Stores[name]
		if store.Order == nil {
			continue
		}
		for _, member := range store.Members {
			if store.Order.Member != "" && store.Order.Member != member {
				continue
			}
			if said := s.memberSays(name, member, store.Order); said != "" {
				told.Details = append(told.Details, fmt.Sprintf("store %s, member %s: %s", name, member, said))
			}
		}
	}
	return told
}
