package consensus

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// StateMachine is what committed commands are applied to, in the same order on every voter. Apply, Snapshot and
// Restore are called by one goroutine.
type StateMachine interface {
	// Apply applies the command at that index of the log and returns what the proposer gets. It is deterministic: no
	// clock, no random, no I/O. A command that it cannot decode is a panic: it ends the process, because a voter that
	// skipped it would hold another state than the others.
	Apply(index uint64, command []byte) []byte
	// Snapshot returns the state as of now, at once; Apply goes on while it is written.
	Snapshot() (Snapshot, error)
	// Restore replaces the state by one that Snapshot.WriteTo wrote.
	Restore(io.Reader) error
}

// Snapshot is a state that no longer changes.
type Snapshot interface {
	WriteTo(io.Writer) (int64, error)
	// Release says that the snapshot is no longer needed. It is called once.
	Release()
}

// machine is the raft.FSM over a StateMachine. It knows what really was applied: Raft's own applied index counts
// what was queued, and no-op entries, which never come here.
type machine struct {
	inner StateMachine
	die   func(error)
	dead  atomic.Bool
	done  *gauge // index of the last command that Apply returned from
	// applying is told of each command that begins to be applied; what it returns, that it was. nil: nobody counts.
	applying func(index uint64) (applied func())
}

func newMachine(inner StateMachine, die func(error)) *machine {
	return &machine{inner: inner, die: die, done: newGauge()}
}

// Apply implements raft.FSM.
func (m *machine) Apply(l *raft.Log) (result any) {
	if m.dead.Load() {
		return ErrStopped
	}
	defer func() {
		if p := recover(); p != nil {
			// The dead mark comes first: if Fatal returns, as in a test, nothing behind this entry may be applied.
			m.dead.Store(true)
			result = ErrStopped
			m.die(fmt.Errorf("state machine: entry %d of term %d cannot be applied: %v\n%s",
				l.Index, l.Term, p, debug.Stack()))
		}
	}()
	if m.applying != nil {
		defer m.applying(l.Index)()
	}
	result = m.inner.Apply(l.Index, l.Data)
	m.done.advance(l.Index)
	return result
}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.dead.Load() {
		return nil, ErrStopped
	}
	s, err := m.inner.Snapshot()
	if err != nil {
		return nil, err
	}
	return &machineSnapshot{last: m.done.value(), inner: s}, nil
}

// Restore implements raft.FSM. The state is preceded by the index of its last command, which Raft does not tell.
func (m *machine) Restore(in io.ReadCloser) error {
	r := bufio.NewReader(in)
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("snapshot: header: %w", err)
	}
	if err := m.inner.Restore(r); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	// What the machine left unread must be read for the checksum to be compared.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	m.done.advance(binary.BigEndian.Uint64(head[:]))
	return nil
}

// machineSnapshot is the raft.FSMSnapshot over a Snapshot.
type machineSnapshot struct {
	last  uint64
	inner Snapshot
}

// Persist implements raft.FSMSnapshot.
func (s *machineSnapshot) Persist(sink raft.SnapshotSink) error {
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], s.last)
	w := bufio.NewWriter(sink)
	_, err := w.Write(head[:])
	if err == nil {
		_, err = s.inner.WriteTo(w)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *machineSnapshot) Release() { s.inner.Release() }
