package sim

import (
	"context"
	"sync/atomic"
	"time"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// relayed is a relay's hop of permits without xDS: its data planes follow at once.
type relayed struct {
	*permit.Hop
	client     *stream.Client
	held, told atomic.Uint64
	stretch    time.Duration
}

// Granted implements permit.Holder.
func (r *relayed) Granted(p *permit.Permit) {
	r.held.Store(p.Revision)
	if r.stretch > 0 {
		longer := *p
		longer.Holds *= r.stretch
		p = &longer
	}
	r.Hop.Granted(p)
}

// Rendered implements permit.Holder.
func (r *relayed) Rendered() uint64 {
	r.told.Store(r.held.Load())
	return r.held.Load()
}

// tell asks anew when the servers have not heard yet how far the data planes are, as a real relay does.
func (r *relayed) tell(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
			if r.told.Load() < r.held.Load() {
				r.client.Ask()
			}
		}
	}
	return nil
}

func (e *estate) streamPeers(center string, id *identity.Source) (peers []stream.Peer) {
	for _, p := range e.peers(center, id) {
		peers = append(peers, stream.Peer{Name: p.Name, Address: p.Address, TLS: p.TLS})
	}
	return peers
}

// newRelayed makes a relay's hop, and the service for its guards.
func (e *estate) newRelayed(center string, id *identity.Source, p *endpoint) (*relayed, *stream.Server, error) {
	r := &relayed{stretch: e.plant.stretch}
	config := permit.HopConfig{Holder: permitpb.Holder_HOLDER_RELAY, Center: center, Clock: e.clockOf(), Log: e.log}
	if e.plant.hop != nil {
		e.plant.hop(&config)
	}
	var err error
	if r.Hop, err = permit.NewHop(config); err != nil {
		return nil, nil, err
	}
	r.client, err = stream.NewClient(stream.ClientConfig{
		Holder: r, Dial: p.dial, Log: e.log.With("relay", center), Peers: e.streamPeers(center, id), Clock: e.clockOf(),
		Open: &permitpb.Open{
			Holder: permitpb.Holder_HOLDER_RELAY, Name: clusterOf(center) + "/one", Cluster: clusterOf(center), Center: center,
		},
	})
	if err != nil {
		return nil, nil, err
	}
	rules := make(chan struct{})
	service, err := stream.NewServer(stream.ServerConfig{
		Grantor: r, Authorize: func(context.Context, *permitpb.Open) error { return nil },
		Rules: func() (*permitpb.RulesResponse, <-chan struct{}) { return &permitpb.RulesResponse{}, rules }, Log: e.log,
	})
	return r, service, err
}

// jumping is a clock whose wall jumps.
type jumping struct{ *estate }

// Now implements permit.Clock.
func (j jumping) Now() permit.Instant {
	t := time.Since(j.began)
	return permit.InstantAt(t+time.Hour, t+time.Hour+j.skew())
}

func (e *estate) clockOf() permit.Clock { return jumping{e} }
