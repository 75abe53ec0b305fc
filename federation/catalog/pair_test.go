package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

var feeds = []feed.ID{"hz-a/vm", "hz-a/consul", "hz-b/vm", "sh-a/vm", feed.IntentID}

// pair is a catalog beside its reference, fed by real feeds.
type pair struct {
	random      *rand.Rand
	catalog     *Catalog
	reference   *reference
	logs        map[feed.ID]*feed.Log
	cursors     map[feed.ID]*feed.Cursor
	incarnation uint64
	// handed are services that were handed out, with what they were then.
	handed map[*Service]string
}

func newPair(seed uint64, broken breakage) *pair {
	p := &pair{
		random: rand.New(rand.NewPCG(seed, 1)), catalog: New(), reference: newReference(), incarnation: 1,
		logs: map[feed.ID]*feed.Log{}, cursors: map[feed.ID]*feed.Cursor{}, handed: map[*Service]string{},
	}
	p.catalog.broken = broken
	for _, id := range feeds {
		p.logs[id] = feed.NewLog(id, feed.Filter{}, feed.Options{})
		if _, err := p.logs[id].Begin(p.incarnation, nil); err != nil {
			panic(err)
		}
		p.cursors[id] = p.logs[id].Cursor(feed.Position{})
	}
	return p
}

// run makes random changes and says what went wrong; empty: nothing.
func (p *pair) run(steps int) string {
	for range steps {
		if why := p.step(); why != "" {
			return why
		}
	}
	for s, was := range p.handed {
		if now := describe(s); now != was {
			return fmt.Sprintf("service %s was handed out and changed from\n%s\nto\n%s", s.Name, was, now)
		}
	}
	return ""
}

func (p *pair) step() string {
	before := p.reference.services()
	var changed []string
	if p.random.IntN(8) == 0 {
		cluster, silent := p.pick("hz-a", "hz-b", "sh-a"), p.random.IntN(2) == 0
		p.reference.silent[cluster] = silent
		changed = p.catalog.SetSilent(cluster, silent)
	} else if p.random.IntN(100) == 0 && len(p.reference.kept) == 0 {
		p.reference.kept["hz-a"] = true
		changed = p.catalog.Keep("hz-a")
	} else {
		id := feeds[p.random.IntN(len(feeds))]
		p.write(id)
		if p.random.IntN(4) == 0 {
			return "" // read later, together with more
		}
		b, ok := p.cursors[id].Next()
		if !ok {
			return ""
		}
		p.reference.apply(id, b)
		changed = p.catalog.Apply(id, b)
	}
	return p.compare(before, changed)
}

// write commits a few changes, or the whole set under a new incarnation, with what is left of it.
func (p *pair) write(id feed.ID) {
	var changes []feed.Change
	for range 1 + p.random.IntN(4) {
		changes = append(changes, p.change(id))
	}
	if p.random.IntN(6) > 0 {
		if _, err := p.logs[id].Commit(changes...); err != nil {
			panic(err)
		}
		return
	}
	whole := map[recordID]feed.Change{}
	for r := range p.logs[id].All() {
		if p.random.IntN(3) > 0 {
			whole[recordID{id, r.Kind, r.Key}] = feed.Change{Kind: r.Kind, Key: r.Key, Value: r.Value}
		}
	}
	for _, c := range changes {
		if c.Value != nil {
			whole[recordID{id, c.Kind, c.Key}] = c
		}
	}
	p.incarnation++
	if _, err := p.logs[id].Begin(p.incarnation, slices.Collect(maps.Values(whole))); err != nil {
		panic(err)
	}
}

func (p *pair) pick(from ...string) string { return from[p.random.IntN(len(from))] }

func (p *pair) change(id feed.ID) feed.Change {
	c := p.object()
	if id != feed.IntentID {
		c = p.record()
	}
	switch p.random.IntN(8) {
	case 0, 1:
		c.Value = nil
	case 2:
		c.Value = []byte("\xffgarbage")
	}
	return c
}

func (p *pair) object() feed.Change {
	cluster, center := p.pick("hz-a", "hz-b", "sh-a"), p.pick("hz-a", "hz-b", "sh-a")
	switch p.random.IntN(7) {
	case 6:
		return feed.Change{Kind: model.KindLiveness, Key: cluster, Value: encode(&modelpb.Liveness{
			Cluster: cluster, State: modelpb.LivenessState_LIVENESS_STATE_EXPIRED,
		})}
	case 4:
		return p.unitization()
	case 5:
		return p.ownership()
	case 0:
		return object(kindCenter, center, &v1alpha1.Center{Spec: v1alpha1.CenterSpec{Region: p.pick("hangzhou", "shanghai")}})
	case 1:
		o := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Center: center}}
		o.Labels = map[string]string{"tier": p.pick("gold", "iron")}
		return object(kindCluster, cluster, o)
	}
	policy := &v1alpha1.ServicePolicy{Spec: v1alpha1.ServicePolicySpec{Service: p.pick("orders", "assets", "nosuch")}}
	policy.Labels = map[string]string{"turn": p.pick("1", "2")}
	policy.Spec.Failover = []v1alpha1.FailoverTier{{Scope: v1alpha1.FailoverScope(p.pick("Center", "Any"))}}
	return object(kindServicePolicy, p.pick("p1", "p2"), policy)
}

// unitization binds a service to two units, of which one has a cell that does not run in every cluster.
func (p *pair) unitization() feed.Change {
	o := &v1alpha1.Unitization{Spec: v1alpha1.UnitizationSpec{
		Shards: int32(10 * (1 + p.random.IntN(6)/5)),
		Services: []v1alpha1.ServiceBinding{{
			Name: p.pick("orders", "assets", "nosuch"), Reads: []string{p.pick("/a/b", "/a/*")},
		}},
		Units: []v1alpha1.Unit{
			{Name: "rz01", Cells: []v1alpha1.Cell{{Center: "hz-a"}, {Center: "hz-b"}}},
			{Name: "rz02", Cells: []v1alpha1.Cell{{Center: "sh-a",
				Clusters: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": p.pick("gold", "iron")}}}}},
		},
	}}
	return object(kindUnitization, p.pick("users", "merchants"), o)
}

func (p *pair) ownership() feed.Change {
	name, epoch, split := p.pick("users", "merchants"), 1+p.random.Uint64N(5), uint32(p.random.IntN(9))
	return feed.Change{Kind: model.KindOwnership, Key: name, Value: encode(&modelpb.Ownership{
		Unitization: name, Shards: 10, Epoch: epoch, Ranges: []*modelpb.OwnedRange{
			{To: split, Unit: "rz01", Cells: []string{"rz01.hz-a"}, State: 1, Since: epoch},
			{From: split + 1, To: 9, Unit: "rz02", Cells: []string{"rz02.sh-a"},
				State: modelpb.RangeState(1 + p.random.IntN(2)), Since: 1},
		}, Wanted: [][]string{nil, {"rz01.hz-b"}}[p.random.IntN(2)],
	})}
}

func object(kind, name string, o any) feed.Change {
	value, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return feed.Change{Kind: kind, Key: name, Value: value}
}

func (p *pair) record() feed.Change {
	service := p.pick("orders", "assets")
	if p.random.IntN(2) == 0 {
		s := &modelpb.Service{Name: service, CreatedUnixMs: p.random.Int64N(3)}
		for i, name := range []string{"grpc", "admin"}[:1+p.random.IntN(2)] {
			s.Ports = append(s.Ports, &modelpb.Port{Name: name, Number: uint32(9000 + (i+p.random.IntN(5)/4)%2),
				Protocol: modelpb.Protocol(1 + p.random.IntN(2))})
		}
		if len(s.Ports) == 2 {
			s.Ports[1].Number = 18001 - s.Ports[0].Number
		}
		return feed.Change{Kind: model.KindService, Key: service, Value: encode(s)}
	}
	slice := &modelpb.EndpointSlice{Service: service, PortNames: []string{"grpc"}, Unit: p.pick("", "rz01", "rz02")}
	for i := range p.random.IntN(3) {
		slice.Endpoints = append(slice.Endpoints, &modelpb.Endpoint{Address: fmt.Sprintf("10.0.%d.%d", p.random.IntN(3), i),
			Ports: []uint32{9000}, State: modelpb.EndpointState(p.random.IntN(3))})
	}
	return feed.Change{Kind: model.KindEndpointSlice, Key: model.SliceKey(service, p.pick("1", "2")), Value: encode(slice)}
}

func encode(m proto.Message) []byte {
	b, err := model.Encode(m)
	if err != nil {
		panic(err)
	}
	return b
}

// compare says how catalog and reference differ, and whether changed is exactly what differs from before.
func (p *pair) compare(before map[string]string, changed []string) string {
	now := p.reference.services()
	if names := slices.Sorted(maps.Keys(now)); !slices.Equal(p.catalog.Names(), names) {
		return fmt.Sprintf("services %q, want %q", p.catalog.Names(), names)
	}
	var differ []string
	for _, name := range []string{"assets", "orders"} {
		if now[name] != before[name] {
			differ = append(differ, name)
		}
		s, ok := p.catalog.Service(name)
		if !ok {
			continue
		}
		text := describe(s)
		if text != now[name] {
			return fmt.Sprintf("service %s is\n%s\nwant\n%s", name, text, now[name])
		}
		if _, known := p.handed[s]; !known {
			p.handed[s] = text
		}
	}
	// A conflict's wording may change without what is compared here, never the other way round.
	for _, name := range differ {
		if !slices.Contains(changed, name) {
			return fmt.Sprintf("service %s changed and was not named in %q", name, changed)
		}
	}
	if len(changed) != len(differ) {
		return fmt.Sprintf("%q were named as changed, only %q did", changed, differ)
	}
	return ""
}
