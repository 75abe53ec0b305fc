package consensus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// command is what the test's state machine understands.
type command struct{ Key, Value string }

func (c command) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return b
}

// registers is a state machine of named registers; the answer to a command is the register's former value.
type registers struct {
	mu     sync.Mutex
	values map[string]string
	last   uint64
	gate   func() // called before each Apply, may block
}

func newRegisters() *registers { return &registers{values: map[string]string{}} }

func (m *registers) Apply(index uint64, b []byte) []byte {
	m.mu.Lock()
	gate := m.gate
	m.mu.Unlock()
	if gate != nil {
		gate()
	}
	var c command
	if err := json.Unmarshal(b, &c); err != nil {
		panic(fmt.Sprintf("entry %d: %v", index, err))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if index <= m.last {
		panic(fmt.Sprintf("entry %d after %d", index, m.last))
	}
	former := m.values[c.Key]
	m.values[c.Key], m.last = c.Value, index
	return []byte(former)
}

func (m *registers) get(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key]
}

func (m *registers) setGate(g func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gate = g
}

type registersState struct {
	Values map[string]string
	Last   uint64
}

func (m *registers) Snapshot() (Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := json.Marshal(registersState{m.values, m.last})
	return registersSnapshot(b), err
}

func (m *registers) Restore(r io.Reader) error {
	var s registersState
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values, m.last = s.Values, s.Last
	return nil
}

type registersSnapshot []byte

func (s registersSnapshot) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, bytes.NewReader(s))
}
func (registersSnapshot) Release() {}
