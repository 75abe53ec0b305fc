package serve

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
)

// StreamStatus is one stream as operators see it.
type StreamStatus struct {
	// Node is what the client calls itself, Identity who its certificate says that it is.
	Node     string    `json:"node"`
	Identity string    `json:"identity,omitempty"`
	Address  string    `json:"address"`
	Since    time.Time `json:"since"`
	// Behind: something was sent before the client had acknowledged what it names.
	Behind bool         `json:"behind,omitempty"`
	Types  []TypeStatus `json:"types"`
}

// TypeStatus is a stream's state of one resource type.
type TypeStatus struct {
	Type string `json:"type"`
	// Names is how many resources are asked for by name.
	Names    int  `json:"names"`
	Wildcard bool `json:"wildcard,omitempty"`
	// Acked is the version that the client accepted last. It says nothing of what is in force (rule 1).
	Acked   string    `json:"acked"`
	AckedAt time.Time `json:"ackedAt,omitzero"`
	// Unanswered is how many responses are in flight, since Oldest.
	Unanswered int       `json:"unanswered"`
	Oldest     time.Time `json:"oldest,omitzero"`
	// Nacks counts the refusals, Nack is the last one.
	Nacks uint64 `json:"nacks"`
	Nack  *Nack  `json:"nack,omitempty"`
	// Awaits is the since that the client had elsewhere, while this relay's answer waits for it; 0: it doesn't. Missed
	// is how such a wait of this stream ended in vain.
	Awaits uint64 `json:"awaits,string,omitempty"`
	Missed *Miss  `json:"missed,omitempty"`
}

// Nack is a client's refusal of a response. It says neither what was bad nor what the client holds now.
type Nack struct {
	Type    string     `json:"type"`
	Version string     `json:"version"`
	Code    codes.Code `json:"code"`
	Message string     `json:"message"`
	At      time.Time  `json:"at"`
}

// Streams returns the state of every stream, the oldest first.
func (s *Server) Streams() []StreamStatus {
	s.mu.Lock()
	streams := make([]*stream, 0, len(s.streams))
	for st := range s.streams {
		streams = append(streams, st)
	}
	s.mu.Unlock()
	slices.SortFunc(streams, func(a, b *stream) int { return cmp.Compare(a.id, b.id) })
	out := make([]StreamStatus, len(streams))
	for i, st := range streams {
		out[i] = st.status()
	}
	return out
}

func (st *stream) status() StreamStatus {
	st.mu.Lock()
	defer st.mu.Unlock()
	out := StreamStatus{
		Node: st.node, Identity: st.identity, Address: st.address, Since: st.since, Behind: st.core.behind,
		Types: make([]TypeStatus, 0, len(st.core.order)),
	}
	for _, sub := range st.core.order {
		t := TypeStatus{
			Type: sub.kind.url, Wildcard: sub.wildcard, Acked: sub.acked, AckedAt: sub.ackedAt,
			Unanswered: len(sub.flight), Nacks: sub.nacks, Nack: sub.nack, Missed: sub.miss,
		}
		if sub.waits() {
			t.Awaits = sub.wait.since
		}
		if sub.set != nil {
			t.Names = len(sub.set.names)
		}
		if len(sub.flight) > 0 {
			t.Oldest = sub.flight[0].at
		}
		out.Types = append(out.Types, t)
	}
	return out
}

// refused records a NACK.
func (s *Server) refused(st *stream, n *Nack) {
	s.metrics.nacks.WithLabelValues(kindOf(n.Type).label).Inc()
	s.complain("resources refused", st, "type", n.Type, "version", n.Version, "code", n.Code, "error", n.Message)
}

// tooLarge records that a stream did not get what it asked for.
func (s *Server) tooLarge(st *stream, o *oversized) {
	s.metrics.oversized.WithLabelValues(o.kind.label).Inc()
	s.complain("response too large, not sent", st, "type", o.kind.url, "bytes", o.size, "limit", s.cfg.MaxBytes)
}

// tookBack records that a client was given less than it had.
func (s *Server) tookBack(st *stream, m *Miss) {
	s.metrics.missed.WithLabelValues(kindOf(m.Type).label).Inc()
	s.complain("client had newer resources than this relay", st, "type", m.Type, "shown", m.Shown, "had", m.Had,
		"waited", s.cfg.CatchUp)
}

// complain logs what a client causes, within bounds.
func (s *Server) complain(message string, st *stream, args ...any) {
	if !s.complaints.Allow() {
		s.suppressed.Add(1)
		return
	}
	args = append(args, "node", st.node, "identity", st.identity)
	if n := s.suppressed.Swap(0); n > 0 {
		args = append(args, slog.Uint64("suppressed", n))
	}
	s.cfg.Log.Warn(message, args...)
}
