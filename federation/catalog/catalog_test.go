package catalog

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

func TestCatalogIsItsDefinition(t *testing.T) {
	for seed := range uint64(15) {
		if why := newPair(seed, 0).run(200); why != "" {
			t.Fatalf("seed %d: %s", seed, why)
		}
	}
}

func TestBrokenRulesAreFound(t *testing.T) {
	for name, broken := range map[string]breakage{
		"absence in a delta deletes": breakAbsence, "reset reaches other feeds": breakReset,
		"undeclared clusters contribute": breakPlace, "silent withdrawn": breakSilent, "oldest doesn't decide": breakOldest,
		"conflict told to one side": breakOneSided, "rejection removes": breakReject,
		"cluster objects touch nothing": breakTouch,
		"services changed in place":     breakShared, "old service of a policy forgotten": breakPolicy,
		"ownership touches nothing": breakOwnership, "plain while a record is missing": breakPlain,
		"endpoints of other units": breakUnit, "clusters of other centers": breakCenter, "selector ignored": breakSelector,
		"expired stays": breakExpired, "withdrawn though it is heard": breakHeard, "own cluster withdrawn": breakOwn,
		"liveness touches nothing": breakLiveness,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(100) {
				if why := newPair(seed, broken).run(200); why != "" {
					t.Log(why)
					return
				}
			}
			t.Error("not found")
		})
	}
}

func batch(records ...feed.Change) feed.Batch {
	b := feed.Batch{}
	for i, c := range records {
		b.Records = append(b.Records, &feed.Record{Kind: c.Kind, Key: c.Key, Value: c.Value,
			At: feed.Position{Incarnation: 1, Seq: uint64(i + 1)}})
	}
	return b
}

func service(name string, created int64, ports ...*modelpb.Port) feed.Change {
	return feed.Change{Kind: model.KindService, Key: name,
		Value: encode(&modelpb.Service{Name: name, Ports: ports, CreatedUnixMs: created})}
}

func port(name string, number uint32) *modelpb.Port {
	return &modelpb.Port{Name: name, Number: number, Protocol: modelpb.Protocol_PROTOCOL_GRPC}
}

func declared(clusters ...string) *Catalog {
	c := New()
	for _, name := range clusters {
		c.Apply(feed.IntentID, batch(
			object(kindCenter, name, &v1alpha1.Center{Spec: v1alpha1.CenterSpec{Region: "r-" + name}}),
			object(kindCluster, name, &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Center: name}})))
	}
	return c
}

func TestClusterContributesOnceItHasAPlace(t *testing.T) {
	c := New()
	if got := c.Apply("hz-a/vm", batch(service("orders", 1, port("grpc", 9000)))); got != nil {
		t.Fatalf("an undeclared cluster changed %q", got)
	}
	cluster := object(kindCluster, "hz-a", &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Center: "east"}})
	if got := c.Apply(feed.IntentID, batch(cluster)); got != nil {
		t.Fatalf("a cluster without a center changed %q", got)
	}
	center := object(kindCenter, "east", &v1alpha1.Center{Spec: v1alpha1.CenterSpec{Region: "hangzhou"}})
	if got := c.Apply(feed.IntentID, batch(center)); !slices.Equal(got, []string{"orders"}) {
		t.Fatalf("the center's appearance changed %q", got)
	}
	if s, _ := c.Service("orders"); s.Clusters[0].Region != "hangzhou" || s.Clusters[0].Center != "east" {
		t.Fatalf("placed at %+v", s.Clusters[0])
	}
	gone := feed.Change{Kind: kindCluster, Key: "hz-a"}
	if got := c.Apply(feed.IntentID, batch(gone)); !slices.Equal(got, []string{"orders"}) {
		t.Fatalf("the cluster's deletion changed %q", got)
	}
	if _, ok := c.Service("orders"); ok {
		t.Fatal("the service outlived its only cluster's object")
	}
}

func TestOldestExportDecidesAndEveryClusterHears(t *testing.T) {
	c := declared("a", "b", "c")
	c.Apply("a/vm", batch(service("orders", 2000, port("grpc", 9001))))
	c.Apply("b/vm", batch(service("orders", 1000, port("grpc", 9000))))
	c.Apply("c/vm", batch(service("orders", 3000, port("admin", 9000), port("web", 80))))
	s, _ := c.Service("orders")
	var ports, conflicts []string
	for _, p := range s.Ports {
		ports = append(ports, portText(p))
	}
	for _, x := range s.Conflicts {
		conflicts = append(conflicts, x.Cluster+" "+portText(x.Declared)+" "+portText(x.Used))
	}
	if want := []string{"grpc/9000/GRPC", "web/80/GRPC"}; !slices.Equal(ports, want) {
		t.Errorf("ports %q, want %q", ports, want)
	}
	want := []string{"a grpc/9001/GRPC grpc/9000/GRPC", "b grpc/9000/GRPC grpc/9000/GRPC",
		"c admin/9000/GRPC grpc/9000/GRPC"}
	if !slices.Equal(conflicts, want) {
		t.Errorf("conflicts %q, want %q", conflicts, want)
	}
	// A tie goes to the first name.
	c.Apply("a/vm", batch(service("orders", 1000, port("grpc", 9001))))
	if s, _ := c.Service("orders"); s.Ports[0].GetNumber() != 9001 {
		t.Errorf("a tie gave port %s", portText(s.Ports[0]))
	}
}

func TestRejectionNamesTheFieldAndLeavesTheRestAlone(t *testing.T) {
	c := declared("a")
	good := &modelpb.EndpointSlice{Service: "orders", PortNames: []string{"grpc"},
		Endpoints: []*modelpb.Endpoint{{Address: "10.0.0.1", Ports: []uint32{9000}}}}
	c.Apply("a/vm", batch(service("orders", 1, port("grpc", 9000)),
		feed.Change{Kind: model.KindEndpointSlice, Key: "orders/1", Value: encode(good)}))
	bad := &modelpb.EndpointSlice{Service: "orders", PortNames: []string{"grpc"},
		Endpoints: []*modelpb.Endpoint{{Address: "not an address", Ports: []uint32{9000}}}}
	for _, key := range []string{"orders/1", "orders/2", "no-slash"} {
		change := feed.Change{Kind: model.KindEndpointSlice, Key: key, Value: encode(bad)}
		if got := c.Apply("a/vm", batch(change)); got != nil {
			t.Errorf("%s changed %q", key, got)
		}
	}
	rejected := c.Rejected()
	if len(rejected) != 3 || rejected[1].Key != "orders/1" || rejected[1].At.IsZero() || rejected[1].Feed != "a/vm" {
		t.Fatalf("rejected: %+v", rejected)
	}
	t.Log(rejected[1].Reason)
	s, _ := c.Service("orders")
	if got := slices.Collect(s.Clusters[0].Endpoints("grpc")); len(got) != 1 {
		t.Errorf("endpoints: %v", got)
	}
	c.Apply("a/vm", batch(feed.Change{Kind: model.KindEndpointSlice, Key: "orders/1", Value: encode(good)},
		feed.Change{Kind: model.KindEndpointSlice, Key: "orders/2"}))
	c.Forget("a/vm")
	if rejected := c.Rejected(); len(rejected) != 0 {
		t.Errorf("still rejected: %+v", rejected)
	}
	if len(c.Names()) != 0 {
		t.Errorf("services of a forgotten feed: %q", c.Names())
	}
}

func TestOtherFeedsAndKindsAreIgnored(t *testing.T) {
	c := declared("a")
	for _, id := range []feed.ID{model.ReportsFeed("a"), "xds", "a/b/c"} {
		if got := c.Apply(id, batch(service("orders", 1, port("grpc", 9000)))); got != nil {
			t.Errorf("%s changed %q", id, got)
		}
	}
	c.Apply("a/vm", batch(feed.Change{Kind: "Later", Key: "x", Value: []byte("x")}))
	if len(c.Rejected()) != 0 || len(c.Names()) != 0 {
		t.Errorf("rejected %v, services %q", c.Rejected(), c.Names())
	}
}

func TestAPolicysMetadataChangesNothing(t *testing.T) {
	c := declared("a")
	c.Apply("a/vm", batch(service("orders", 1, port("grpc", 9000))))
	policy := &v1alpha1.ServicePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1alpha1.ServicePolicySpec{Service: "orders"},
	}
	if got := c.Apply(feed.IntentID, batch(object(kindServicePolicy, "p", policy))); len(got) != 1 {
		t.Errorf("the policy changed %q", got)
	}
	policy.Labels = map[string]string{"x": "y"}
	if got := c.Apply(feed.IntentID, batch(object(kindServicePolicy, "p", policy))); got != nil {
		t.Errorf("its label changed %q", got)
	}
}

func TestASilentClusterIsDemotedAnExpiredOneWithdrawnAndAReturnedOneBack(t *testing.T) {
	c := declared("a", "b")
	slice := &modelpb.EndpointSlice{Service: "orders", PortNames: []string{"grpc"},
		Endpoints: []*modelpb.Endpoint{{Address: "10.0.0.1", Ports: []uint32{9000}}}}
	for _, id := range []feed.ID{"a/vm", "b/vm"} {
		c.Apply(id, batch(service("orders", 1, port("grpc", 9000)),
			feed.Change{Kind: model.KindEndpointSlice, Key: "orders/1", Value: encode(slice)}))
	}
	c.Keep("b")
	shows := func(step, want string) {
		t.Helper()
		s, _ := c.Service("orders")
		got := ""
		for _, cl := range s.Clusters {
			got += cl.Cluster
			if cl.Silent {
				got += " silent"
			}
			if cl.Expired {
				got += " expired"
			}
			for range cl.Endpoints("grpc") {
				got += " 1"
			}
			got += ";"
		}
		if got != want || len(s.Ports) != 1 {
			t.Errorf("%s: %s with %d ports, want %s with one", step, got, len(s.Ports), want)
		}
	}
	expired := func(cluster string) {
		c.Apply(feed.IntentID, batch(feed.Change{Kind: model.KindLiveness, Key: cluster, Value: encode(&modelpb.Liveness{
			Cluster: cluster, State: modelpb.LivenessState_LIVENESS_STATE_EXPIRED,
		})}))
	}
	shows("live", "a 1;b 1;")
	expired("a")
	shows("expired, and heard here", "a 1;b 1;")
	c.SetSilent("a", true)
	shows("silent, too", "a silent expired;b 1;")
	expired("b")
	c.SetSilent("b", true)
	shows("the holder's own", "a silent expired;b silent 1;")
	if got := c.Withdrawn(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("withdrawn: %q", got)
	}
	if got := c.SetSilent("a", false); !slices.Equal(got, []string{"orders"}) {
		t.Errorf("its return changed %q", got)
	}
	shows("back, while the decision stands", "a 1;b silent 1;")
	c.SetSilent("a", true)
	c.Apply(feed.IntentID, batch(feed.Change{Kind: model.KindLiveness, Key: "a"}))
	shows("live again by decision", "a silent 1;b silent 1;")
}
