package render

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// world is an estate as a relay sees it: each cluster's feed and the intent's, and the catalog that they make.
type world struct {
	t       testing.TB
	catalog *catalog.Catalog
	logs    map[feed.ID]*feed.Log
	cursors map[feed.ID]*feed.Cursor
	// changed are the services that changed since they were last asked for.
	changed map[string]bool
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, catalog: catalog.New(), changed: map[string]bool{},
		logs: map[feed.ID]*feed.Log{}, cursors: map[feed.ID]*feed.Cursor{}}
	for center, region := range map[string]string{
		"hz-a": "hangzhou", "hz-b": "hangzhou", "sh-a": "shanghai", "sh-b": "shanghai", "sz-a": "shenzhen",
	} {
		w.declare("Center", center, &v1alpha1.Center{Spec: v1alpha1.CenterSpec{Region: region}})
		// As in the sample estate, a center's cluster has its name.
		w.declare("Cluster", center, &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Center: center}})
	}
	return w
}

// commit writes into a feed and lets the catalog read on.
func (w *world) commit(id feed.ID, changes ...feed.Change) {
	w.t.Helper()
	log, ok := w.logs[id]
	if !ok {
		log = feed.NewLog(id, feed.Filter{}, feed.Options{})
		if _, err := log.Begin(1, nil); err != nil {
			w.t.Fatal(err)
		}
		w.logs[id], w.cursors[id] = log, log.Cursor(feed.Position{})
	}
	if _, err := log.Commit(changes...); err != nil {
		w.t.Fatal(err)
	}
	for {
		b, ok := w.cursors[id].Next()
		if !ok {
			break
		}
		w.note(w.catalog.Apply(id, b))
	}
	for _, r := range w.catalog.Rejected() {
		w.t.Fatalf("rejected: %+v", r)
	}
}

func (w *world) note(changed []string) {
	for _, name := range changed {
		w.changed[name] = true
	}
}

// news are the services that changed since the last call.
func (w *world) news() []string {
	var out []string
	for name := range w.changed {
		out = append(out, name)
	}
	slices.Sort(out)
	w.changed = map[string]bool{}
	return out
}

func (w *world) declare(kind, name string, object any) {
	w.t.Helper()
	value, err := json.Marshal(object)
	if err != nil {
		w.t.Fatal(err)
	}
	w.commit(feed.IntentID, feed.Change{Kind: kind, Key: name, Value: value})
}

func (w *world) policy(spec v1alpha1.ServicePolicySpec) {
	w.t.Helper()
	w.declare("ServicePolicy", spec.Service, &v1alpha1.ServicePolicy{Spec: spec})
}

func (w *world) silent(cluster string, silent bool) { w.note(w.catalog.SetSilent(cluster, silent)) }

// export is what one cluster says of a service.
type export struct {
	Cluster string `json:"cluster"`
	Source  string `json:"source"`
	// Service is another one than the scenario's.
	Service string `json:"service"`
	// Unit is that of the endpoints.
	Unit      string         `json:"unit"`
	Silent    bool           `json:"silent"`
	CreatedMs int64          `json:"createdMs"`
	Ports     []exportPort   `json:"ports"`
	Endpoints []exportedHost `json:"endpoints"`
}

type exportPort struct {
	Name     string `json:"name"`
	Number   uint32 `json:"number"`
	Protocol string `json:"protocol"`
}

type exportedHost struct {
	Address string `json:"address"`
	// Ports are by the name of the service's port.
	Ports  map[string]uint32 `json:"ports"`
	State  string            `json:"state"`
	Weight uint32            `json:"weight"`
}

var grpcPort = []exportPort{{Name: "grpc", Number: 9000, Protocol: "GRPC"}}

func (e export) feed() feed.ID {
	if e.Source == "" {
		return model.FeedID(e.Cluster, "static")
	}
	return model.FeedID(e.Cluster, e.Source)
}

// export commits the whole of what a cluster says of a service: its Service and one slice.
func (w *world) export(service string, e export) {
	w.t.Helper()
	if e.Ports == nil {
		e.Ports = grpcPort
	}
	s := &modelpb.Service{Name: service, CreatedUnixMs: e.CreatedMs}
	slice := &modelpb.EndpointSlice{Service: service, Unit: e.Unit}
	for _, p := range e.Ports {
		s.Ports = append(s.Ports, &modelpb.Port{
			Name: p.Name, Number: p.Number, Protocol: modelpb.Protocol(modelpb.Protocol_value["PROTOCOL_"+p.Protocol]),
		})
		slice.PortNames = append(slice.PortNames, p.Name)
	}
	for _, h := range e.Endpoints {
		out := &modelpb.Endpoint{Address: h.Address, Weight: h.Weight, State: stateOf(w.t, h.State)}
		for _, p := range e.Ports {
			out.Ports = append(out.Ports, h.Ports[p.Name])
		}
		slice.Endpoints = append(slice.Endpoints, out)
	}
	w.commit(e.feed(),
		feed.Change{Kind: model.KindService, Key: service, Value: encoded(w.t, s)},
		feed.Change{Kind: model.KindEndpointSlice, Key: model.SliceKey(service, sliceName(e.Unit)),
			Value: encoded(w.t, slice)})
	w.silent(e.Cluster, e.Silent)
}

// sliceName lets a cluster have endpoints of several units.
func sliceName(unit string) string {
	if unit == "" {
		return "1"
	}
	return unit
}

// withdraw ends a cluster's export of a service.
func (w *world) withdraw(service, cluster string) {
	w.t.Helper()
	w.commit(model.FeedID(cluster, "static"), feed.Change{Kind: model.KindService, Key: service},
		feed.Change{Kind: model.KindEndpointSlice, Key: model.SliceKey(service, "1")})
}

func (w *world) service(name string) *catalog.Service {
	w.t.Helper()
	s, ok := w.catalog.Service(name)
	if !ok {
		w.t.Fatalf("no service %q", name)
	}
	return s
}

func stateOf(t testing.TB, s string) modelpb.EndpointState {
	t.Helper()
	switch s {
	case "", "Ready":
		return modelpb.EndpointState_ENDPOINT_STATE_READY
	case "Draining":
		return modelpb.EndpointState_ENDPOINT_STATE_DRAINING
	case "Unhealthy":
		return modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY
	}
	t.Fatalf("unknown state %q", s)
	return 0
}

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := model.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unitization declares one.
func (w *world) unitization(name string, spec v1alpha1.UnitizationSpec) {
	w.t.Helper()
	w.declare("Unitization", name, &v1alpha1.Unitization{Spec: spec})
}

// own commits an ownership map, given as the API shows it.
func (w *world) own(unitization string, status v1alpha1.UnitizationStatus) {
	w.t.Helper()
	w.commit(feed.IntentID, feed.Change{Kind: model.KindOwnership, Key: unitization,
		Value: encoded(w.t, ownership(w.t, unitization, status))})
}

func ownership(t testing.TB, unitization string, status v1alpha1.UnitizationStatus) *modelpb.Ownership {
	t.Helper()
	number := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	o := &modelpb.Ownership{Unitization: unitization, Epoch: number(status.Epoch), Wanted: status.Wanted}
	for _, r := range status.Ranges {
		state := modelpb.RangeState_RANGE_STATE_OPEN
		if r.State == v1alpha1.RangeFrozen {
			state = modelpb.RangeState_RANGE_STATE_FROZEN
		}
		o.Shards = uint32(r.To) + 1
		o.Ranges = append(o.Ranges, &modelpb.OwnedRange{From: uint32(r.From), To: uint32(r.To), Unit: r.Unit,
			Cells: r.Cells, State: state, Since: number(r.Since)})
	}
	return o
}
