package guard

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// TestFreezeGoesThroughARelaysHop puts a real hop between: its own permit is given by hand, as a server would.
func TestFreezeGoesThroughARelaysHop(t *testing.T) {
	const holds = 5 * time.Second
	clock := &handClock{mono: time.Hour}
	hop, err := permit.NewHop(permit.HopConfig{Holder: permitpb.Holder_HOLDER_RELAY, Center: "hz-a", Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	s, err := stream.NewServer(stream.ServerConfig{
		Grantor: hop, Authorize: func(context.Context, *permitpb.Open) error { return nil },
		Rules: func() (*permitpb.RulesResponse, <-chan struct{}) { return rules(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	permitpb.RegisterPermitsServer(server, s)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	grant := func(epoch uint64, m *permitpb.Map) {
		hop.Granted(&permit.Permit{Asked: clock.Now(), Holds: holds, Revision: epoch, Maps: []*permitpb.Map{m}})
	}
	grant(3, users(3, nil))
	w := newWorkload(t, func(c *Config) {
		c.Every, c.Relays = 50*time.Millisecond, []stream.Peer{{Name: "relay", Address: listener.Addr().String()}}
		c.Clock = clock
	})
	clock.pass(holds + holds/50) // a hop that has just begun acknowledges nothing (rule 6)
	grant(3, users(3, nil))
	eventually(t, "writes pass", func() bool { return refusedFor(t, w.call(write, "7")) == "" })
	inside, leave := w.hold()
	done := make(chan error, 1)
	go func() { done <- w.call(write, "7") }()
	<-inside
	grant(4, users(4, frozen))
	eventually(t, "the guard refuses", func() bool { return refusedFor(t, w.call(write, "8")) == Frozen })
	if closed := hop.Closed(); len(closed) > 0 {
		t.Errorf("the hop acknowledges %v with a write in flight at its guard", closed)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("the write in flight: %v", err)
	}
	eventually(t, "the hop acknowledges", func() bool { return slices.Equal(hop.Closed(), []uint64{4}) })
	grant(5, users(5, nil))
	eventually(t, "writes pass again", func() bool { return refusedFor(t, w.call(write, "7")) == "" })
	// The hop gets no more permits itself: its guard's ends with it, however often it asks.
	clock.pass(holds - 1)
	time.Sleep(200 * time.Millisecond) // for some asks
	clock.pass(1)
	if reason := refusedFor(t, w.call(write, "7")); reason != NoPermit {
		t.Errorf("after the hop's last permit: %q", reason)
	}
}
