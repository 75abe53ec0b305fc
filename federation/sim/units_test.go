package sim

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/agents/orders"
	"pentad.dev/pentad/agents/permits"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/unitization/guard"
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
			for _, shard := range shardsWritten {
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
