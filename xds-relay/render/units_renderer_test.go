package render

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
)

// users is a Unitization of two units with two active cells each, and a third in another region.
func users(services ...string) v1alpha1.UnitizationSpec {
	spec := v1alpha1.UnitizationSpec{
		Shards: 100, Key: &v1alpha1.ShardingKey{Header: "x-user-id", Function: v1alpha1.KeyLastDigits},
		Units: []v1alpha1.Unit{
			{Name: "rz01", Cells: []v1alpha1.Cell{{Center: "hz-a"}, {Center: "hz-b"}, {Center: "sh-a", Standby: true}}},
			{Name: "rz03", Cells: []v1alpha1.Cell{{Center: "sh-a"}, {Center: "sh-b"}, {Center: "sz-a", Standby: true}}},
		},
	}
	for _, name := range services {
		spec.Services = append(spec.Services, v1alpha1.ServiceBinding{Name: name, Reads: []string{"/shop.Orders/Get"}})
	}
	return spec
}

// ranged is a range of an ownership map: "0-49 rz01 hz-a hz-b", with "!" in front when it is frozen.
func ranged(text string, since int) v1alpha1.OwnedRange {
	text, frozen := strings.CutPrefix(text, "!")
	words := strings.Fields(text)
	r := v1alpha1.OwnedRange{Unit: words[1], State: v1alpha1.RangeOpen, Since: fmt.Sprint(since)}
	_, _ = fmt.Sscanf(words[0], "%d-%d", &r.From, &r.To)
	for _, center := range words[2:] {
		r.Cells = append(r.Cells, r.Unit+"."+center)
	}
	if frozen {
		r.State = v1alpha1.RangeFrozen
	}
	return r
}

// owned is an ownership map whose last change was at epoch.
func owned(epoch int, ranges ...string) v1alpha1.UnitizationStatus {
	status := v1alpha1.UnitizationStatus{Epoch: fmt.Sprint(epoch)}
	for _, r := range ranges {
		status.Ranges = append(status.Ranges, ranged(r, epoch))
	}
	return status
}

var steady = owned(7, "0-49 rz01 hz-a hz-b", "50-99 rz03 sh-a sh-b")

// switchover are the maps of a switchover of the first 25 shards, the steady one first.
var switchover = []v1alpha1.UnitizationStatus{
	steady,
	owned(8, "!0-24 rz01 hz-a hz-b", "25-49 rz01 hz-a hz-b", "50-99 rz03 sh-a sh-b"),
	owned(9, "!0-24 rz03 sh-a sh-b", "25-49 rz01 hz-a hz-b", "50-99 rz03 sh-a sh-b"),
	owned(10, "0-24 rz03 sh-a sh-b", "25-49 rz01 hz-a hz-b", "50-99 rz03 sh-a sh-b"),
}

// newUnits is a relay without clients with orders in all centers.
func newUnits(t testing.TB, v View) *relay {
	r := newFeed(t, v)
	r.unitization("users", users("orders"))
	r.own("users", steady)
	for i, cluster := range []string{"hz-a", "hz-b", "sh-a", "sh-b", "sz-a"} {
		r.export("orders", export{Cluster: cluster, Endpoints: hosts(i+1, 1, "")})
	}
	r.render()
	return r
}

// written are the types of what the next render writes.
func (r *relay) written() []string {
	cursor := r.log.Cursor(r.log.Position())
	defer cursor.Close()
	r.render()
	b, _ := cursor.Next()
	var out []string
	for _, record := range b.Records {
		out = append(out, record.Kind+" "+record.Key)
	}
	return out
}

func TestASwitchoverChangesRoutesOnly(t *testing.T) {
	r := newUnits(t, hangzhou)
	wanted := steady
	wanted.Wanted = []string{"rz03.sz-a"}
	r.own("users", wanted)
	if got := r.written(); len(got) != 0 {
		t.Errorf("wanted cells changed %q", got)
	}
	for _, status := range switchover[1:] {
		r.own("users", status)
		if got := r.written(); !slices.Equal(got, []string{TypeRoute + " orders:grpc"}) {
			t.Errorf("epoch %s changed %q, want the routes alone", status.Epoch, got)
		}
		record, _ := r.log.Get(TypeRoute, "orders:grpc")
		if got := fmt.Sprint(Since(TypeRoute, record.Value)); got != status.Epoch {
			t.Errorf("epoch %s: the routes carry since %s", status.Epoch, got)
		}
	}
}

func TestSinceIsOfRoutesWithUnitsAlone(t *testing.T) {
	r := newUnits(t, hangzhou)
	r.export("assets", export{Cluster: "hz-a", Endpoints: hosts(9, 1, "")})
	r.render()
	for record := range r.log.All() {
		want := uint64(0)
		if record.Kind == TypeRoute && record.Key == "orders:grpc" {
			want = 7
		}
		if got := Since(record.Kind, record.Value); got != want {
			t.Errorf("%s %q carries since %d, want %d", record.Kind, record.Key, got, want)
		}
	}
	if Since(TypeRoute, []byte("\xff")) != 0 {
		t.Error("garbage carries a since")
	}
}

func TestARouteFollowsWhatCanBeReached(t *testing.T) {
	if why := followReach(t, hangzhou); why != "" {
		t.Fatal(why)
	}
	v := hangzhou
	v.broken = breakStale
	if followReach(t, v) == "" {
		t.Error("routes that stay behind are not found")
	}
}

func followReach(t *testing.T, v View) string {
	r := newUnits(t, v)
	for _, step := range []struct{ state, want string }{
		{"Unhealthy", "orders:grpc/rz01.hz-b"}, {"", "orders:grpc/rz01.hz-a"}, {"Draining", "orders:grpc/rz01.hz-b"},
	} {
		r.export("orders", export{Cluster: "hz-a", Endpoints: hosts(1, 1, step.state)})
		r.render()
		record, _ := r.log.Get(TypeRoute, "orders:grpc")
		config := routesOf([]Resource{{Type: TypeRoute, Body: record.Value}})
		if got := clusterFor(config, unitCall{path: "/x/y", shard: []string{"7"}}); got != step.want {
			return fmt.Sprintf("hz-a is %q: routed to %q, want %q", step.state, got, step.want)
		}
	}
	return ""
}

func TestAnEndpointChangesItsOwnCellAlone(t *testing.T) {
	r := newUnits(t, hangzhou)
	r.export("orders", export{Cluster: "hz-b", Endpoints: hosts(2, 2, "")})
	if got := r.written(); !slices.Equal(got, []string{TypeEndpoint + " orders:grpc/rz01.hz-b"}) {
		t.Errorf("changed %q", got)
	}
}

// scattered is a map of n ranges that alternate between the units.
func scattered(n int) v1alpha1.UnitizationStatus {
	status := v1alpha1.UnitizationStatus{Epoch: "7"}
	for i := range n {
		r := ranged([]string{"0-0 rz01 hz-a", "0-0 rz03 sh-a"}[i%2], 7)
		r.From, r.To = int32(i), int32(i)
		status.Ranges = append(status.Ranges, r)
	}
	return status
}

func TestTooManyRoutesAreRefusedAndReported(t *testing.T) {
	spec := users("orders", "carts")
	spec.Services[1].Reads = nil
	for _, broken := range []breakage{0, breakCap} {
		v := hangzhou
		v.broken = broken
		r := newUnits(t, v)
		spec.Shards = 300
		r.export("carts", export{Cluster: "hz-a", Endpoints: hosts(9, 1, "")})
		r.unitization("users", spec)
		r.own("users", scattered(300))
		r.render()
		refused := r.renderer.Refused()
		record, _ := r.log.Get(TypeRoute, "orders:grpc")
		routes := len(routesOf([]Resource{{Type: TypeRoute, Body: record.Value}}).GetVirtualHosts()[0].GetRoutes())
		if found := routes > maxRoutes; found != (broken != 0) {
			t.Errorf("broken %d: %d routes", broken, routes)
		}
		if broken != 0 {
			continue
		}
		// carts has no reads, so its 300 ranges are within the bound.
		if len(refused) != 1 || refused[0].Service != "orders" || !errors.Is(refused[0].Err, ErrRefused) ||
			!strings.Contains(refused[0].Err.Error(), "607 routes, at most 512") {
			t.Errorf("refused: %v", refused)
		}
		if routes != 1 || Since(TypeRoute, record.Value) != 0 {
			t.Errorf("%d routes, since %d", routes, Since(TypeRoute, record.Value))
		}
	}
}

func TestServicesThatRefuseAreReported(t *testing.T) {
	r := newUnits(t, hangzhou)
	if got := r.renderer.Refused(); len(got) != 0 {
		t.Errorf("refused: %v", got)
	}
	r.commit(feed.IntentID, feed.Change{Kind: model.KindOwnership, Key: "users"})
	r.render()
	if got := r.renderer.Refused(); len(got) != 1 || !strings.Contains(got[0].Err.Error(), "no ownership map") {
		t.Errorf("refused: %v", got)
	}
}

// churnUnits changes maps, bindings and endpoints at random, and says what diverged from rendering anew.
func churnUnits(t testing.TB, v View, steps int) string {
	r := newUnits(t, v)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	for range steps {
		for range 1 + random.IntN(3) {
			switch random.IntN(6) {
			case 0:
				r.own("users", switchover[random.IntN(len(switchover))])
			case 1:
				r.unitization("users", users([][]string{{"orders"}, {"assets"}, {"orders", "assets"}, nil}[random.IntN(4)]...))
			case 2:
				r.commit(feed.IntentID, feed.Change{Kind: pick("Unitization", model.KindOwnership), Key: "users"})
			case 3:
				r.silent(pick("hz-a", "sh-a"), random.IntN(2) == 0)
			default:
				cluster := pick("hz-a", "hz-b", "sh-a")
				r.export(pick("orders", "assets"), export{Cluster: cluster, Unit: pick("", "rz01", "rz03"),
					Endpoints: hosts(1+random.IntN(200), random.IntN(3), pick("", "Unhealthy"))})
			}
		}
		r.render()
		if why := diverged(r); why != "" {
			return why
		}
	}
	return ""
}

func TestUpdatesOfUnitsEqualRenderingAnew(t *testing.T) {
	if why := churnUnits(t, hangzhou, 300); why != "" {
		t.Fatal(why)
	}
	v := hangzhou
	v.broken = breakStale
	if why := churnUnits(t, v, 300); why == "" {
		t.Error("routes that stay behind are not found")
	} else {
		t.Log(why)
	}
}
