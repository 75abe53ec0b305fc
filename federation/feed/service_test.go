package feed

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestServiceTakesOnlyWhatItMay(t *testing.T) {
	forbidden := errors.New("not your cluster")
	a := startServer(t, memory(t), "127.0.0.1:0", func(c *ServiceConfig) {
		c.Authorize = func(_ context.Context, id ID) error {
			if id == "other/reg" {
				return forbidden
			}
			return nil
		}
		c.AuthorizeRead = func(_ context.Context, id ID) error {
			if id == "c/secret" {
				return forbidden
			}
			return nil
		}
		c.Clock = func() time.Time { return time.UnixMilli(1000) }
	})
	set := memory(t)
	for id, inc := range map[ID]uint64{"c/reg": 5, "c/secret": 5, "other/reg": 5, IntentID: 5, "c/future": 1 << 50} {
		set.Log(id).Begin(inc, []Change{change("a", "1")})
	}
	pub := publish(t, set, a)
	refused := map[ID]string{}
	eventually(t, "three are refused", func() bool {
		for _, f := range pub.Status()[0].Feeds {
			if f.Refused != "" {
				refused[f.ID] = f.Refused
			}
		}
		return len(refused) == 3
	})
	for id, want := range map[ID]string{
		"other/reg": "not your cluster", IntentID: "never published", "c/future": "ahead of this server's clock",
	} {
		if got := refused[id]; !strings.Contains(got, want) {
			t.Errorf("%s: refused %q, want %q", id, got, want)
		}
		if l, ok := a.set.Get(id); ok && !l.Position().IsZero() {
			t.Errorf("%s was taken", id)
		}
	}
	relay := memory(t)
	followWith(t, FollowerConfig{Set: relay, Peers: peersOf(a), Want: func(ID) (Filter, bool) { return Filter{}, true }})
	l, _ := set.Get("c/reg")
	eventually(t, "the relay reads what it may", func() bool { return equal(l, relay) })
	if _, ok := relay.Get("c/secret"); ok {
		t.Error("the relay reads what it may not")
	}
}

func TestRejectionIsReportedAndTheRecordPassedOn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		server, relay := memory(t), memory(t)
		b.serve(t, "a", server, func(c *ServiceConfig) {
			c.Validator = func(_ ID, r *Record) error {
				if string(r.Value) == "bad" {
					return errors.New("port: 0: must be 1 to 65535")
				}
				return nil
			}
		})
		followWith(t, FollowerConfig{Set: relay, Peers: peersNamed("a"), Dialer: b.dial})
		set, l := agent(t, change("a", "good"), change("b", "bad"))
		told := make(chan Rejection, 10)
		pub := publishWith(t, PublisherConfig{
			Set: set, One: peersNamed("a"), OnAhead: func(ID, Position) {}, Dialer: b.dial,
			OnRejected: func(peer string, id ID, rs []Rejection) { told <- rs[0] },
		})
		if r := <-told; r.Key != "b" || r.Reason != "port: 0: must be 1 to 65535" || r.At != l.Position() {
			t.Errorf("told %+v", r)
		}
		eventually(t, "everybody holds the rejected record too", func() bool { return equal(l, server, relay) })
		if f := pub.Status()[0].Feeds[0]; f.Rejected != 1 || len(f.Rejections) != 1 {
			t.Errorf("status %+v", f)
		}
	})
}
