package apiserver

import (
	"context"
	"sync"
	"testing"
	"time"

	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// estate stands for the servers of a federation and the log between them: the first member leads, and every other one
// applies a command some time after it was acknowledged.
type estate struct {
	t       testing.TB
	members []*member

	mu  sync.Mutex
	log [][]byte
	// refuse, when set, is what Propose and ReadRevision fail with before anything happens.
	refuse error
	// lose, when set, is what Propose fails with after the command was done.
	lose error
	// silent lets ReadRevision wait for its context.
	silent bool
}

// member is one server's Backend.
type member struct {
	estate  *estate
	fsm     *intent.FSM
	applied int
	wake    chan struct{}

	mu     sync.Mutex
	lag    time.Duration
	paused bool
}

func newEstate(t testing.TB, members int) *estate {
	t.Helper()
	e := &estate{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for n := range members {
		fsm, err := intent.New(intent.Config{})
		if err != nil {
			t.Fatal(err)
		}
		m := &member{estate: e, fsm: fsm, wake: make(chan struct{}, 1)}
		e.members = append(e.members, m)
		if n > 0 {
			running.Go(func() { m.follow(ctx) })
		}
	}
	return e
}

func (e *estate) set(change func(*estate)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

func (m *member) State() *intent.FSM { return m.fsm }

func (m *member) Propose(_ context.Context, command *intentpb.Command) (intent.Result, error) {
	encoded, err := intent.Encode(command)
	if err != nil {
		return intent.Result{}, err
	}
	e := m.estate
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse != nil {
		return intent.Result{}, e.refuse
	}
	e.log = append(e.log, encoded)
	answer := e.members[0].fsm.Apply(uint64(len(e.log)), encoded)
	for _, other := range e.members[1:] {
		other.poke()
	}
	if e.lose != nil {
		return intent.Result{}, e.lose
	}
	return intent.DecodeResult(answer)
}

func (m *member) ReadRevision(ctx context.Context) (uint64, error) {
	m.estate.mu.Lock()
	refuse, silent := m.estate.refuse, m.estate.silent
	m.estate.mu.Unlock()
	if silent {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return m.estate.members[0].fsm.Revision(), refuse
}

func (m *member) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// set changes how far the member is behind: by a time, or paused without end.
func (m *member) set(lag time.Duration, paused bool) {
	m.mu.Lock()
	m.lag, m.paused = lag, paused
	m.mu.Unlock()
	m.poke()
}

func (m *member) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
		for {
			m.mu.Lock()
			lag, paused := m.lag, m.paused
			m.mu.Unlock()
			m.estate.mu.Lock()
			log := m.estate.log
			m.estate.mu.Unlock()
			if paused || m.applied == len(log) {
				break
			}
			time.Sleep(lag)
			m.applied++
			m.fsm.Apply(uint64(m.applied), log[m.applied-1])
		}
	}
}
