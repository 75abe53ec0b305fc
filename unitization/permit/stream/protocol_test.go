package stream

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

func openMessage(o *permitpb.Open) *permitpb.HoldRequest {
	return &permitpb.HoldRequest{Message: &permitpb.HoldRequest_Open{Open: o}}
}

func askMessage(number uint64, closed ...uint64) *permitpb.HoldRequest {
	return &permitpb.HoldRequest{Message: &permitpb.HoldRequest_Ask{Ask: &permitpb.Ask{Number: number, Closed: closed}}}
}

func TestACallerThatBreaksTheProtocolLosesItsStream(t *testing.T) {
	of := func(cell string) *permitpb.HoldRequest {
		return openMessage(&permitpb.Open{
			Session: "s", Name: "g", Holder: permitpb.Holder_HOLDER_GUARD, Cells: []string{cell},
		})
	}
	guard, many := of("rz01.hz-a"), make([]uint64, 5000)
	for _, c := range []struct {
		name string
		send []*permitpb.HoldRequest
		want codes.Code
	}{
		{"an ask first", []*permitpb.HoldRequest{askMessage(1)}, codes.InvalidArgument},
		{"nothing", []*permitpb.HoldRequest{{}}, codes.InvalidArgument},
		{"silence", nil, codes.InvalidArgument},
		{"open twice", []*permitpb.HoldRequest{guard, guard}, codes.InvalidArgument},
		{"a number twice", []*permitpb.HoldRequest{guard, askMessage(1), askMessage(1)}, codes.InvalidArgument},
		{"number 0", []*permitpb.HoldRequest{guard, askMessage(0)}, codes.InvalidArgument},
		{"too many freezes", []*permitpb.HoldRequest{guard, askMessage(1, many...)}, codes.InvalidArgument},
		{"another center's cell", []*permitpb.HoldRequest{of("rz01.hz-b")}, codes.PermissionDenied},
		{"a relay at a relay", []*permitpb.HoldRequest{openMessage(relayOpen("s"))}, codes.InvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network, a *authority) {
				n.root(t, "server", a, 0)
				n.relay(t, "relay", "s1", nil, "server")
				good := n.guard(t, "good", "relay")
				eventually(t, "a permit", time.Second, good.open)
				conn := must(Dial(peer("relay"), n.dial))
				defer conn.Close()
				stream := must(permitpb.NewPermitsClient(conn).Hold(t.Context()))
				for _, m := range c.send {
					stream.Send(m)
				}
				var err error
				for err == nil {
					_, err = stream.Recv()
				}
				if status.Code(err) != c.want {
					t.Errorf("%v, want %s", err, c.want)
				}
				if !good.open() {
					t.Error("another guard lost its permit")
				}
			})
		})
	}
}

func TestWhoIsNotAllowedIsToldSo(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a *authority) {
		r := must(NewRoot(RootConfig{Authority: a}))
		for address, allow := range map[string]func(context.Context, *permitpb.Open) error{
			"nobody": nil, "not you": func(context.Context, *permitpb.Open) error { return errors.New("not you") },
		} {
			t.Cleanup(n.serve(address, must(NewServer(ServerConfig{Grantor: r, Authorize: allow}))))
			conn := must(Dial(peer(address), n.dial))
			stream := must(permitpb.NewPermitsClient(conn).Hold(t.Context()))
			stream.Send(openMessage(relayOpen("s")))
			if _, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s: %v", address, err)
			}
			conn.Close()
		}
		n.relay(t, "relay", "s1", nil, "nobody")
		before := n.dialed()
		time.Sleep(20 * time.Second)
		if tries := n.dialed() - before; tries > 3 {
			t.Errorf("%d connections of a relay that is not allowed", tries)
		}
	})
}

// liar is a grantor that says what it is told to.
type liar struct {
	answer func(*permitpb.Ask) *permitpb.Answer
	hints  chan struct{}
}

func (l *liar) Open(context.Context, *permitpb.Open) (Lease, error) { return l, nil }
func (l *liar) Hints() <-chan struct{}                              { return l.hints }
func (l *liar) Close()                                              {}
func (l *liar) Answer(_ context.Context, ask *permitpb.Ask) (*permitpb.Answer, error) {
	return l.answer(ask), nil
}

func TestAPeerThatSaysWhatCannotBeIsLeft(t *testing.T) {
	honest := func(ask *permitpb.Ask) *permitpb.Answer {
		mine := &permitpb.Range{Unit: "rz01", Cells: []string{"rz01.hz-a"}, Since: 1}
		users := &permitpb.Map{Unitization: "users", Shards: 1, Epoch: 1, Ranges: []*permitpb.Range{mine}}
		return &permitpb.Answer{
			Number: ask.Number, Revision: 9, HoldsNs: int64(5 * time.Second), Maps: []*permitpb.Map{users},
		}
	}
	for name, spoil := range map[string]func(*permitpb.Answer){
		"another number": func(a *permitpb.Answer) { a.Number++ },
		"too long":       func(a *permitpb.Answer) { a.HoldsNs = int64(24 * time.Hour) },
		"negative":       func(a *permitpb.Answer) { a.HoldsNs = -1 },
		"half a map":     func(a *permitpb.Answer) { a.Maps[0].Shards = 2 },
	} {
		for _, afterwards := range []bool{false, true} {
			inBubble(t, func(t *testing.T, n *network, a *authority) {
				var lying atomic.Bool
				lying.Store(!afterwards)
				l := &liar{hints: make(chan struct{}), answer: func(ask *permitpb.Ask) *permitpb.Answer {
					answer := honest(ask)
					if lying.Load() {
						spoil(answer)
					}
					return answer
				}}
				t.Cleanup(n.serve("liar", must(NewServer(ServerConfig{Grantor: l, Authorize: anyone}))))
				n.root(t, "server", a, 0)
				n.relay(t, "relay", "s1", nil, "server")
				g := n.guard(t, "guard", "liar", "relay")
				eventually(t, "a permit", time.Second, g.open)
				time.Sleep(10 * time.Second)
				lying.Store(true)
				time.Sleep(3 * time.Second)
				if at := g.client.Status().Peer; at != "relay" || !g.open() {
					t.Errorf("%s: the guard asks %q, open: %v", name, at, g.open())
				}
				g.mu.Lock()
				defer g.mu.Unlock()
				if g.permit.Holds > 5*time.Second || g.permit.Revision == 9 {
					t.Errorf("%s: took %+v", name, g.permit)
				}
			})
		}
	}
}

func TestRulesAreToldAgainWhenTheyChange(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a *authority) {
		header, changed := "x-user-id", make(chan struct{})
		tell := func() (*permitpb.RulesResponse, <-chan struct{}) {
			a.mu.Lock()
			defer a.mu.Unlock()
			return &permitpb.RulesResponse{Rules: []*permitpb.Rules{{Unitization: "users", Header: header}}}, changed
		}
		near := n.relay(t, "near", "s1", tell, "server")
		n.relay(t, "far", "s2", tell, "server")
		n.relay(t, "mute", "s3", nil, "server")
		var heard []string
		c := must(NewRulesClient(RulesConfig{Peers: peersOf([]string{"mute", "near", "far"}), Dial: n.dial,
			Take: func(r *permitpb.RulesResponse) {
				a.mu.Lock()
				defer a.mu.Unlock()
				heard = append(heard, r.Rules[0].Header)
			}}))
		defer running(c.Run)()
		said := func(want ...string) func() bool {
			return func() bool {
				a.mu.Lock()
				defer a.mu.Unlock()
				return slices.Equal(slices.Compact(slices.Clone(heard)), want)
			}
		}
		eventually(t, "the rules", time.Second, said("x-user-id"))
		a.mu.Lock()
		header = "x-merchant-id"
		close(changed)
		changed = make(chan struct{})
		a.mu.Unlock()
		eventually(t, "other rules", 50*time.Millisecond, said("x-user-id", "x-merchant-id"))
		a.mu.Lock()
		header = "x-third" // for who asks from now on: the client asks another relay as soon as this one stops
		a.mu.Unlock()
		near.stop()
		eventually(t, "another relay's rules", time.Second, said("x-user-id", "x-merchant-id", "x-third"))
	})
}

func TestConfigurationsThatAreWrongAreRefused(t *testing.T) {
	open := &permitpb.Open{Holder: permitpb.Holder_HOLDER_GUARD}
	holder := &guard{clock: permit.SystemClock()}
	peers := peersOf([]string{"a"})
	for name, c := range map[string]ClientConfig{
		"no peers":   {Open: open, Holder: holder},
		"no address": {Open: open, Holder: holder, Peers: []Peer{{Name: "a"}}},
		"twice":      {Open: open, Holder: holder, Peers: peersOf([]string{"a", "a"})},
		"no open":    {Holder: holder, Peers: peers},
		"no kind":    {Open: &permitpb.Open{}, Holder: holder, Peers: peers},
		"no holder":  {Open: open, Peers: peers},
		"negative":   {Open: open, Holder: holder, Peers: peers, Every: -1},
	} {
		if _, err := NewClient(c); err == nil {
			t.Errorf("client: %s: accepted", name)
		}
	}
	if _, err := NewServer(ServerConfig{}); err == nil {
		t.Error("server: no grantor: accepted")
	}
	if _, err := NewRoot(RootConfig{}); err == nil {
		t.Error("root: no authority: accepted")
	}
	if _, err := NewRoot(RootConfig{Authority: newAuthority(), Gather: -1}); err == nil {
		t.Error("root: negative: accepted")
	}
	if _, err := NewRulesClient(RulesConfig{Peers: peers}); err == nil {
		t.Error("rules: no take: accepted")
	}
}
