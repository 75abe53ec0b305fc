package server

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"pentad.dev/pentad/process/loopback"
	"pentad.dev/pentad/unitization/fence"
	"pentad.dev/pentad/unitization/fence/webhook"
)

// member is a member of a store in memory, behind the real webhook protocol, that can be made to misbehave.
type member struct {
	store, name string

	mu       sync.Mutex
	state    fence.State
	gates    map[fence.Action]chan struct{} // calls wait here
	answers  http.HandlerFunc               // in place of the member's own
	calls    map[fence.Action]int
	openings []opening
	// forgets says that it closes in words only, when it is fenced.
	forgets bool
}

// opening is when a member took writes; until is zero while it does.
type opening struct {
	member      string
	token       uint64
	from, until time.Time
}

func newMember(t *testing.T, address, store, name string, primary bool) *member {
	t.Helper()
	m := &member{store: store, name: name, gates: map[fence.Action]chan struct{}{}, calls: map[fence.Action]int{}}
	if primary {
		m.become(fence.State{Open: true, Primary: true, Position: fence.Position{Index: 1}})
	}
	listener := loopback.Listen(t, address)
	obey := m.handler()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		answers := m.answers
		m.mu.Unlock()
		if answers != nil {
			answers(w, r)
			return
		}
		obey.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return m
}

// handler is the member as it should be.
func (m *member) handler() http.Handler { return webhook.NewHandler(m) }

// hold has calls of an action wait until let, or until the caller gives up.
func (m *member) hold(actions ...fence.Action) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range actions {
		m.gates[a] = make(chan struct{})
	}
}

func (m *member) let(actions ...fence.Action) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range actions {
		if m.gates[a] != nil {
			close(m.gates[a])
		}
		delete(m.gates, a)
	}
}

// answer has the member answer in this way instead of its own; nil mends it.
func (m *member) answer(with http.HandlerFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers = with
}

// become changes the state, and notes when writes were taken. Holders of mu call it.
func (m *member) become(s fence.State) {
	was := m.state
	m.state = s
	if was.Open && (!s.Open || s.Token != was.Token) {
		m.openings[len(m.openings)-1].until = time.Now()
	}
	if s.Open && (!was.Open || s.Token != was.Token) {
		m.openings = append(m.openings, opening{member: m.name, token: s.Token, from: time.Now()})
	}
}

// takes says whether the member takes a write.
func (m *member) takes() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Open {
		m.state.Position.Index++
	}
	return m.state.Open
}

func (m *member) history() []opening {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]opening(nil), m.openings...)
}

// called is how often an action was asked for.
func (m *member) called(a fence.Action) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[a]
}

func (m *member) do(
	ctx context.Context, a fence.Action, r fence.Request, change func(*fence.State),
) (fence.State, error) {
	m.mu.Lock()
	m.calls[a]++
	gate := m.gates[a]
	m.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return fence.State{}, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Token < m.state.Token {
		return fence.State{}, fmt.Errorf("%w: %d, kept is %d", fence.ErrLowerToken, r.Token, m.state.Token)
	}
	next := m.state
	next.Token = r.Token
	change(&next)
	said := next
	if m.forgets && a == fence.Fence {
		next.Open, next.Primary = m.state.Open, m.state.Primary
	}
	m.become(next)
	return said, nil
}

// Fence implements fence.Driver.
func (m *member) Fence(ctx context.Context, r fence.Request) (fence.State, error) {
	return m.do(ctx, fence.Fence, r, func(s *fence.State) { s.Open, s.Primary = false, false })
}

// CatchUp implements fence.Driver.
func (m *member) CatchUp(ctx context.Context, r fence.Request) (fence.State, error) {
	return m.do(ctx, fence.CatchUp, r, func(s *fence.State) { s.Position = r.Position })
}

// Promote implements fence.Driver.
func (m *member) Promote(ctx context.Context, r fence.Request) (fence.State, error) {
	return m.do(ctx, fence.Promote, r, func(s *fence.State) { s.Primary = true })
}

// Open implements fence.Driver.
func (m *member) Open(ctx context.Context, r fence.Request) (fence.State, error) {
	return m.do(ctx, fence.Open, r, func(s *fence.State) { s.Primary, s.Open = true, true })
}

// Unfence implements fence.Driver.
func (m *member) Unfence(ctx context.Context, r fence.Request) (fence.State, error) {
	return m.do(ctx, fence.Unfence, r, func(s *fence.State) { s.Primary, s.Open = true, true })
}

// Status implements fence.Driver.
func (m *member) Status(context.Context, fence.Request) (fence.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, nil
}
