package ledger

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"

	"pentad.dev/pentad/unitization/fence"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

func (e *estate) serveAgent(r *running) {
	hop, err := permit.NewHop(permit.HopConfig{
		Holder: permitpb.Holder_HOLDER_AGENT, Center: r.name, Clock: permit.SystemClock(),
	})
	check(e.t, err)
	allow := func(context.Context, *permitpb.Open) error { return nil }
	service, err := stream.NewServer(stream.ServerConfig{Grantor: hop, Authorize: allow})
	check(e.t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(e.t, err)
	server := grpc.NewServer(stream.ServerOptions()...)
	permitpb.RegisterPermitsServer(server, service)
	go server.Serve(l)
	e.t.Cleanup(server.Stop)
	r.hop, r.agent = hop, stream.Peer{Name: "agent-" + r.name, Address: l.Addr().String()}
}

// renew gives every agent that is not cut off a fresh permit, again and again.
func (e *estate) renew() {
	for revision := uint64(1); ; revision++ {
		e.mu.Lock()
		stores := []*permitpb.StorePermit{e.permits}
		e.mu.Unlock()
		for _, r := range e.members {
			if !r.cut.Load() {
				r.hop.Granted(&permit.Permit{
					Asked: permit.SystemClock().Now(), Holds: holds, Revision: revision, Stores: stores,
				})
			}
		}
		select {
		case <-e.stopped:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (e *estate) permit(primary string, token uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.permits = &permitpb.StorePermit{Store: simStore, Primary: primary, Token: token}
}

// obey has a member obey an order, as an agent does: again and again.
func (e *estate) obey(name string, a fence.Action, token uint64, to fence.Position) fence.State {
	e.t.Helper()
	r := e.members[name]
	order := fence.Order{Action: a, Token: token, Position: to}
	var last error
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		state, err := fence.Call(ctx, r.driver, a, fence.Request{Store: simStore, Member: name, Token: token, Position: to})
		cancel()
		if err == nil {
			err = order.Obeyed(state)
		}
		if err == nil {
			return state
		}
		last = err
	}
	e.t.Fatalf("%s of %s at token %d: %v", a, name, token, last)
	return fence.State{}
}

// move moves the primary, by the orders of a switchover.
func (e *estate) move(target string, reachable ...string) {
	e.t.Helper()
	e.permit("", e.epoch)
	e.epoch++
	freeze, to := e.epoch, fence.Position{}
	for _, name := range reachable {
		if at := e.obey(name, fence.Fence, freeze, to).Position; at.Compare(to) > 0 {
			to = at
		}
	}
	e.obey(target, fence.CatchUp, freeze, to)
	e.epoch++
	e.obey(target, fence.Promote, e.epoch, fence.Position{})
	e.epoch++
	e.permit(target, e.epoch)
	e.obey(target, fence.Open, e.epoch, fence.Position{})
}
