package relay

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// cellPrefix begins the name of a workload's identity that says which cell it is: cell/<unit>.<center>.
const cellPrefix = "cell/"

// permits is the relay's hop: it holds a permit of the servers', and hands it on to the guards of its cluster.
type permits struct {
	hop    *permit.Hop
	client *stream.Client
	server *stream.Server
	// told is the revision that the servers were last told the data planes are served from, held that of the permit.
	told atomic.Uint64
	held atomic.Uint64
}

// Granted implements permit.Holder.
func (p *permits) Granted(granted *permit.Permit) {
	p.held.Store(granted.Revision)
	p.hop.Granted(granted)
}

// Closed implements permit.Holder.
func (p *permits) Closed() []uint64 { return p.hop.Closed() }

// Rendered implements permit.Holder.
func (p *permits) Rendered() uint64 {
	rendered := p.hop.Rendered()
	p.told.Store(rendered)
	return rendered
}

// Wakes implements permit.Waker.
func (p *permits) Wakes() <-chan struct{} { return p.hop.Wakes() }

// tellEvery is how soon the servers hear that the data planes are served from what the relay's permit says.
const tellEvery = 20 * time.Millisecond

// tell asks anew once the resources have caught up with the permit: a switchover waits for that (rule 19).
func (p *permits) tell(ctx context.Context) error {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if held := p.held.Load(); p.told.Load() < held && p.hop.Rendered() >= held {
				p.client.Ask()
			}
		}
	}
}

func (r *Relay) openPermits(metrics process.Metrics) (err error) {
	p := &permits{}
	clock := permit.SystemClock()
	if p.hop, err = permit.NewHop(permit.HopConfig{
		Holder: permitpb.Holder_HOLDER_RELAY, Center: r.config.Center, Clock: clock, Rendered: r.pipeline.rendered, Log: r.log,
	}); err != nil {
		return err
	}
	var peers []stream.Peer
	for _, s := range r.servers(process.Nearest) {
		peers = append(peers, stream.Peer{Name: s.Name, Address: s.Address, TLS: s.TLS})
	}
	if p.client, err = stream.NewClient(stream.ClientConfig{
		Peers: peers, Holder: p, Clock: clock, Dial: r.cut.Dialer(), Log: r.log, Metrics: metrics,
		Open: &permitpb.Open{
			Holder: permitpb.Holder_HOLDER_RELAY, Name: r.identity.ID().Name, Cluster: r.config.Cluster, Center: r.config.Center,
		},
	}); err != nil {
		return err
	}
	p.server, err = stream.NewServer(stream.ServerConfig{
		Grantor: p.hop, Authorize: r.mayHold, Rules: r.pipeline.rules, Log: r.log, Metrics: metrics,
	})
	r.permits = p
	return err
}

// mayHold lets a workload hold permits for the one cell that its certificate names (rule 8).
func (r *Relay) mayHold(ctx context.Context, open *permitpb.Open) error {
	caller, err := identity.Caller(ctx)
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	cell, ok := strings.CutPrefix(caller.Name, cellPrefix)
	if !ok || open.GetHolder() != permitpb.Holder_HOLDER_GUARD || len(open.GetCells()) != 1 || open.GetCells()[0] != cell {
		return status.Errorf(codes.PermissionDenied, "%s may not hold permits as %s of cells %q: only as guard of the cell that its "+
			"certificate names", caller, open.GetHolder(), open.GetCells())
	}
	return nil
}
