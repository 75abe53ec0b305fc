package consensus

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"
)

// Refusal says why this node and another one do not talk, although they reach each other.
type Refusal struct {
	// Peer is the other node's id.
	Peer string `json:"peer"`
	// Reason is what one of the two has against the other, and what is to be done.
	Reason string `json:"reason"`
	// For is for how long that has been so.
	For time.Duration `json:"for"`
}

// refusals are the greetings that were refused when this node called others, by either end. Nothing heals that but an
// operator: a disk that was replaced and is back, a certificate of somebody else, an address of another cluster's. Such
// a node stands for election for ever and its calls are turned away, so it harms nobody, and nobody would notice.
type refusals struct {
	mu  sync.Mutex
	now map[string]refusal // by node
}

type refusal struct {
	reason      string
	since, last time.Time
}

// refusedFor is for how long a refusal is told of when there was no other call since that came as far.
const refusedFor = time.Minute

// called notes how a call ended.
func (r *refusals) called(peer string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch old, known := r.now[peer]; {
	case err == nil:
		delete(r.now, peer)
	case errors.Is(err, ErrPeer):
		now := time.Now()
		if !known || now.Sub(old.last) > refusedFor {
			old.since = now
		}
		if r.now == nil {
			r.now = map[string]refusal{}
		}
		r.now[peer] = refusal{reason: err.Error(), since: old.since, last: now}
	}
}

// list returns those that hold now.
func (r *refusals) list() (all []Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for peer, x := range r.now {
		if time.Since(x.last) > refusedFor {
			delete(r.now, peer)
			continue
		}
		all = append(all, Refusal{Peer: peer, Reason: x.reason, For: time.Since(x.since)})
	}
	slices.SortFunc(all, func(a, b Refusal) int { return cmp.Compare(a.Peer, b.Peer) })
	return all
}
