package consensus

import (
	"errors"
	"sync"

	"github.com/hashicorp/raft"
)

// links is the network between the members of a cluster: who hears whom, and whose answers are held back.
type links struct {
	mu   sync.Mutex
	rule func(from, to string, req any, answer bool) error // may block
}

func (l *links) set(rule func(from, to string, req any, answer bool) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rule = rule
}

func (l *links) ask(from, to string, req any, answer bool) error {
	l.mu.Lock()
	rule := l.rule
	l.mu.Unlock()
	if rule == nil {
		return nil
	}
	return rule(from, to, req, answer)
}

// isolate cuts a member off from all others, both ways.
func (l *links) isolate(id string) {
	l.set(func(from, to string, _ any, _ bool) error {
		if (from == id) != (to == id) {
			return errCut
		}
		return nil
	})
}

var errCut = errors.New("link is cut")

// memberGate is the gate of one member. A message and its answer are told apart; from is always the one who asked.
type memberGate struct {
	links *links
	self  string
}

func (g memberGate) send(to raft.ServerID, req any) error {
	return g.links.ask(g.self, string(to), req, false)
}

func (g memberGate) answer(from raft.ServerID, req any) error {
	return g.links.ask(g.self, string(from), req, true)
}

// bare says whether a message is one that raft's fast path would take.
func bare(req any) bool {
	a, ok := req.(*raft.AppendEntriesRequest)
	return ok && isHeartbeat(a)
}

func hasEntries(req any) bool {
	a, ok := req.(*raft.AppendEntriesRequest)
	return ok && len(a.Entries) > 0
}
