package feed

import (
	"fmt"
	"strings"
	"time"

	"pentad.dev/pentad/federation/feed/feedpb"
)

func positionProto(p Position) *feedpb.Position {
	if p.IsZero() {
		return nil
	}
	return &feedpb.Position{Incarnation: p.Incarnation, Seq: p.Seq}
}

func positionOf(p *feedpb.Position) Position {
	return Position{Incarnation: p.GetIncarnation(), Seq: p.GetSeq()}
}

func filterProto(f Filter) *feedpb.Filter {
	if f.IsZero() {
		return nil
	}
	return &feedpb.Filter{Kinds: f.Kinds, Keys: f.Keys}
}

func filterOf(f *feedpb.Filter) Filter { return NewFilter(f.GetKinds(), f.GetKeys()) }

// reasonOf is what a message says of an error: short, and text, whatever the error quotes.
func reasonOf(err error) string {
	const most = 1024
	s := err.Error()
	return strings.ToValidUTF8(s[:min(len(s), most)], "\uFFFD")
}

func lifeProto(v life) *feedpb.Life {
	if !v.heard {
		return nil
	}
	return &feedpb.Life{
		Heard: true, AgeUs: uint64(max(v.age, 0) / time.Microsecond), Mark: positionProto(v.mark), Fresh: v.fresh,
	}
}

func lifeOf(v *feedpb.Life) life {
	const most = uint64(100 * 365 * 24 * time.Hour / time.Microsecond)
	return life{
		heard: v.GetHeard(), age: time.Duration(min(v.GetAgeUs(), most)) * time.Microsecond,
		mark: positionOf(v.GetMark()), fresh: v.GetFresh(),
	}
}

func recordProto(r *Record) *feedpb.Record {
	return &feedpb.Record{Kind: r.Kind, Key: r.Key, Value: r.Value, Deleted: r.Value == nil, At: positionProto(r.At)}
}

// nodeOf checks a received record and makes it ready for a log. It takes r's memory over.
func nodeOf(r *feedpb.Record) (*node, error) {
	n := &node{Record: Record{Kind: r.GetKind(), Key: r.GetKey(), Value: r.GetValue(), At: positionOf(r.GetAt())}}
	switch {
	case r.GetDeleted() && len(r.GetValue()) > 0:
		return nil, fmt.Errorf("%w: %s %q: deleted, with a value", errMalformed, n.Kind, n.Key)
	case len(n.Value) > MaxValue || len(n.Kind)+len(n.Key) > maxName:
		return nil, fmt.Errorf("%w: %s: record too large", errMalformed, n.Kind)
	case r.GetDeleted():
		n.Value = nil
	case n.Value == nil:
		n.Value = []byte{}
	}
	n.Hash = hashValue(n.Value)
	return n, nil
}

// recordBytes is about what a record takes in a frame.
func recordBytes(r *Record) int { return len(r.Kind) + len(r.Key) + len(r.Value) + 40 }

func rejectionsOf(rs []*feedpb.Rejection) []Rejection {
	out := make([]Rejection, len(rs))
	for i, r := range rs {
		out[i] = Rejection{Kind: r.GetKind(), Key: r.GetKey(), At: positionOf(r.GetAt()), Reason: r.GetReason()}
	}
	return out
}
