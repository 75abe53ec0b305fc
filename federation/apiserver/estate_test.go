package apiserver

import (
	"context"
	"math"
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
	// loseOnce is lose for one Propose.
	loseOnce bool
	// silent lets ReadRevision wait for its context, which patience says how long it was.
	silent   bool
	patience time.Duration
	// prompt answers no command before every member has applied it: for callers that repeat nothing when a read at a
	// member that is behind takes too long.
	prompt bool
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

func (m *member) Propose(ctx context.Context, command *intentpb.Command) (intent.Result, error) {
	encoded, err := intent.Encode(command)
	if err != nil {
		return intent.Result{}, err
	}
	answer, prompt, err := m.estate.propose(encoded)
	if err != nil {
		return intent.Result{}, err
	}
	for _, other := range m.estate.members[1:] {
		if prompt {
			_ = other.fsm.WaitRevision(ctx, m.estate.members[0].fsm.Revision())
		}
	}
	return intent.DecodeResult(answer)
}

func (e *estate) propose(encoded []byte) (answer []byte, prompt bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse != nil {
		return nil, false, e.refuse
	}
	e.log = append(e.log, encoded)
	answer = e.members[0].fsm.Apply(uint64(len(e.log)), encoded)
	for _, other := range e.members[1:] {
		other.poke()
	}
	lost := e.lose
	if e.loseOnce {
		e.lose, e.loseOnce = nil, false
	}
	return answer, e.prompt, lost
}

func (m *member) ReadRevision(ctx context.Context) (uint64, error) {
	e := m.estate
	e.mu.Lock()
	refuse, silent := e.refuse, e.silent
	if silent {
		e.patience = math.MaxInt64
		if deadline, ok := ctx.Deadline(); ok {
			e.patience = time.Until(deadline)
		}
	}
	e.mu.Unlock()
	if silent {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return e.members[0].fsm.Revision(), refuse
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
			m.estate.mu.Lock()
			log := m.estate.log
			m.estate.mu.Unlock()
			m.mu.Lock() // after the log was read: what comes into it after a pause is not applied
			lag, paused := m.lag, m.paused
			m.mu.Unlock()
			if paused || m.applied == len(log) {
				break
			}
			time.Sleep(lag)
			m.applied++
			m.fsm.Apply(uint64(m.applied), log[m.applied-1])
		}
	}
}
