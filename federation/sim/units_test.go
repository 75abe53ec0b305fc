package sim

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/agents/orders"
	"pentad.dev/pentad/agents/permits"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/guard"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// permitT is T: above six election timeouts and what else a renewal may take.
const permitT = 10 * time.Second

// users are two units: rz01 has shards 0 to 4, its data in the store db, and begins in hz-a; rz02 has the others, no
// store, and begins in sh-a.
func users() *v1alpha1.Unitization {
	u := &v1alpha1.Unitization{Spec: v1alpha1.UnitizationSpec{
		Shards: 10, Key: &v1alpha1.ShardingKey{Header: "x-user-id", Function: v1alpha1.KeyLastDigits},
		Guard: true, Permit: v1alpha1.PermitTerms{Duration: &metav1.Duration{Duration: permitT}},
		Services: []v1alpha1.ServiceBinding{{Name: "orders"}},
		Units: []v1alpha1.Unit{
			{Name: "rz01", Store: "db", Shards: []v1alpha1.ShardRange{{From: 0, To: 4}}, Cells: []v1alpha1.Cell{
				{Center: "hz-a"}, {Center: "sh-a", Standby: true}, {Center: "sz-a", Standby: true},
			}},
			{Name: "rz02", Shards: []v1alpha1.ShardRange{{From: 5, To: 9}}, Cells: []v1alpha1.Cell{
				{Center: "sh-a"}, {Center: "hz-a", Standby: true},
			}},
		},
	}}
	u.Name = "users"
	return u
}

func storeOf(center string) string { return "store." + center }

// declare declares the centers, the clusters, and with units the store and them.
func (e *estate) declare(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(e.seed, 7))
	store := &v1alpha1.Store{Spec: v1alpha1.StoreSpec{
		Primary: "hz-a", Replication: v1alpha1.ReplicationSynchronous, HoldsPermit: true,
	}}
	store.Name = "db"
	estate := &v1alpha1.Estate{Spec: v1alpha1.EstateSpec{Withdrawals: v1alpha1.Withdrawals{MaxPercent: new(int32(70))}}}
	estate.Name = v1alpha1.EstateName
	objects := []v1alpha1.Object{estate}
	for _, name := range clusters {
		center := &v1alpha1.Center{Spec: v1alpha1.CenterSpec{Region: regions[name]}}
		center.Name = name
		cluster := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{
			Center: name, OnSilence: &v1alpha1.OnSilence{KeepFor: keepFor.String()},
		}}
		cluster.Name = clusterOf(name)
		objects = append(objects, center, cluster)
		store.Spec.Members = append(store.Spec.Members, v1alpha1.StoreMember{
			Center: name, Cluster: cluster.Name,
			Webhook: &v1alpha1.WebhookDriver{URL: "http://" + storeOf(name) + ":2/fence", Timeout: &metav1.Duration{Duration: time.Second}},
		})
	}
	if e.units {
		objects = append(objects, store, users())
	}
	operator := author{rnd, func() time.Duration { return 0 }}
	const level = 2 // that of the Estate, and of clusters that expire
	await(ctx, 100*time.Millisecond, func() bool {
		l := e.leader()
		return l != nil && l.core.Backend().State().View().Level() >= level
	})
	for _, object := range objects {
		declared := await(ctx, 100*time.Millisecond, func() bool {
			l := e.leader()
			if l == nil {
				return false
			}
			result, err := l.core.Backend().Propose(ctx, operator.create(object, l.core.Backend().State().View().Lookup()))
			if err == nil && len(result.Refused) > 0 {
				e.oracle.violated("%s %s is refused: %v", v1alpha1.KindOf(object), object.GetName(), result.Errors().ToAggregate())
			}
			return err == nil && (result.OK || result.LostRace() && result.Current != nil)
		})
		if !declared {
			return
		}
	}
}

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

// newStore adds a member of the store.
func (e *estate) newStore(center string) {
	host := storeOf(center)
	id := e.issue(e.authority, identity.RoleWorkload, "store/db."+center)
	e.addProgram(host, regions[center], func(p *endpoint, dir string) (func(context.Context) error, error) {
		config := ledger.Config{
			Store: "db", Member: center, Dir: dir, Dial: p.dial, Log: e.log.With("store", center),
			Listener: p.listen(host + ":1"), WebhookListener: p.listen(host + ":2"),
			Agents: []stream.Peer{{Name: "agent", Address: "agent." + center + ":1", TLS: id.Client(identity.RoleAgent)}},
		}
		for _, other := range clusters {
			if other != center {
				config.Peers = append(config.Peers, ledger.Peer{Member: other, Address: storeOf(other) + ":1"})
			}
		}
		if e.plant.store != nil {
			e.plant.store(&config)
		}
		m, err := ledger.New(config)
		if err != nil {
			return nil, err
		}
		e.stores.set(center, dir)
		return m.Run, nil
	})
}

// drive is the part of an agent that obeys orders, and grants permits to the store beside it.
func (w *writer) drive(p *endpoint, center string, reports *feed.Log) (func(context.Context) error, error) {
	hop, err := permits.New(permits.Config{
		Cluster: w.cluster, Center: center, Servers: w.streamPeers(center, w.id), Listener: p.listen(p.host + ":1"),
		TLS: w.id.Server(identity.RoleWorkload), Dial: p.dial, Log: w.log, Clock: w.clockOf(),
	})
	if err != nil {
		return nil, err
	}
	obeying, err := orders.New(orders.Config{
		Cluster: w.cluster, Servers: w.peers(center, w.id), Dial: p.dial, Log: w.log.With("agent", w.cluster),
		Report: w.report(reports),
	})
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return hop.Run(ctx) })
		group.Go(func() error { return obeying.Run(ctx) })
		return group.Wait()
	}, err
}

// newGuards adds the workloads of a center: a guard before each cell.
func (e *estate) newGuards(center string) {
	host := "work." + center
	e.addProgram(host, regions[center], func(p *endpoint, _ string) (func(context.Context) error, error) {
		guards := map[string]*guard.Guard{}
		for _, unit := range []string{"rz01", "rz02"} {
			cell := unit + "." + center
			id := e.issue(e.authority, identity.RoleWorkload, "cell/"+cell)
			config := guard.Config{
				Cells: []string{cell}, Service: "orders", Name: cell, Cluster: clusterOf(center), Center: center, Clock: e.clockOf(),
				Relays: []stream.Peer{{Name: "relay", Address: relayOf(center) + ":1", TLS: id.Client(identity.RoleRelay)}},
				Drain:  time.Millisecond, Dial: p.dial, Log: e.log,
			}
			if e.plant.guard != nil {
				e.plant.guard(&config)
			}
			g, err := guard.New(config)
			if err != nil {
				return nil, err
			}
			guards[unit] = g
		}
		db, err := e.newStoreClient(center, p)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error {
			defer db.Close()
			group, ctx := errgroup.WithContext(ctx)
			for _, g := range guards {
				group.Go(func() error { return g.Run(ctx) })
			}
			for _, shard := range []int{0, 4, 9} {
				group.Go(func() error { e.stores.write(ctx, e, guards, db, center, shard); return nil })
			}
			return group.Wait()
		}, nil
	})
}

func (e *estate) newStoreClient(center string, p *endpoint) (*ledger.Client, error) {
	config := ledger.ClientConfig{Store: "db", Patience: 50 * time.Millisecond, Dial: p.dial}
	for _, name := range nearest(center) {
		for _, with := range clusters {
			if name == with {
				config.Members = append(config.Members, ledger.Peer{Member: name, Address: storeOf(name) + ":1"})
			}
		}
	}
	return ledger.NewClient(config)
}

// operate is a person who moves unit rz01 from center to center, one switchover after the other.
func (e *estate) operate(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(e.seed, 8))
	operator := author{rnd, e.skew}
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(e.plant.rests(20*time.Second + time.Duration(rnd.Int64N(int64(40*time.Second))))):
		}
		if e.settling() {
			return
		}
		mode := v1alpha1.SwitchoverPlanned
		if rnd.IntN(2) == 0 {
			mode = v1alpha1.SwitchoverDisaster
		}
		mode = cmp.Or(e.plant.haste, mode)
		e.move(ctx, operator, fmt.Sprint("move-", n), mode, "rz01", clusters[rnd.IntN(len(clusters))])
	}
}

// move makes one switchover, and waits for its end for a while.
func (e *estate) move(ctx context.Context, operator author, name string, mode v1alpha1.SwitchoverMode, unit, to string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	move := v1alpha1.Move{Unitization: "users", Unit: unit, ToCenters: []string{to}}
	if unit == "rz01" {
		move.ToPrimary = to // the other has no store
	}
	s := &v1alpha1.Switchover{Spec: v1alpha1.SwitchoverSpec{Mode: mode, Moves: []v1alpha1.Move{move}}}
	s.Name = name
	result, ok := e.decide(ctx, func(l *life) *intentpb.Command {
		return operator.create(s, l.core.Backend().State().View().Lookup())
	})
	if !ok || !result.OK || result.Current == nil {
		e.oracle.count("switchovers refused")
		return
	}
	e.check(json.Unmarshal(result.Current.Value, s))
	result, ok = e.decide(ctx, func(*life) *intentpb.Command {
		c := operator.command()
		c.Operation = &intentpb.Command_Approve{Approve: &intentpb.Approve{
			Switchover: name, Uid: string(s.UID), PlanHash: s.Status.PlanHash, Approver: "ops",
		}}
		return c
	})
	if !ok || !result.OK {
		e.oracle.count("switchovers not approved")
		return
	}
	e.oracle.count("switchovers begun, " + string(mode))
	ended := func() bool {
		l := e.leader()
		if l == nil {
			return false
		}
		stored, ok := l.core.Backend().State().View().Get(v1alpha1.KindSwitchover, name)
		var now v1alpha1.Switchover
		if !ok || json.Unmarshal(stored.Value, &now) != nil {
			return false
		}
		switch now.Status.Phase {
		case v1alpha1.PhaseDone, v1alpha1.PhaseAborted:
			e.oracle.count("switchovers " + strings.ToLower(string(now.Status.Phase)))
			return true
		}
		return false
	}
	if !await(ctx, time.Second, ended) {
		e.oracle.count("switchovers not ended in two minutes")
	}
}

// decide proposes through whichever server leads.
func (e *estate) decide(ctx context.Context, command func(*life) *intentpb.Command) (result intent.Result, ok bool) {
	var made *intentpb.Command
	ok = await(ctx, 200*time.Millisecond, func() bool {
		l := e.leader()
		if l == nil {
			return false
		}
		if made == nil {
			made = command(l)
		}
		var err error
		result, err = l.core.Backend().Propose(ctx, made)
		return err == nil
	})
	return result, ok
}
