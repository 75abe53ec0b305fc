package render

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
)

// names are the live records of a feed of resources.
func contents(log *feed.Log) map[Name]string {
	out := map[Name]string{}
	for r := range log.All() {
		out[Name{r.Kind, r.Key}] = string(r.Value)
	}
	return out
}

// diverged says how a feed that was kept up differs from the catalog rendered anew: nothing but names that went may be
// there in addition, and those with the content of Absent.
func diverged(r *relay) string {
	fresh, _ := New(hangzhou)
	log := feed.NewLog("fresh", feed.Filter{}, feed.Options{})
	if _, err := fresh.Begin(r.catalog, 1, log); err != nil {
		return err.Error()
	}
	got := contents(r.log)
	for name, body := range contents(log) {
		if got[name] != body {
			return fmt.Sprintf("%v differs from what is rendered anew", name)
		}
		delete(got, name)
	}
	for name, body := range got {
		if absent, ok := Absent(name.Type, name.Name, hangzhou); !ok || string(absent.Body) != body {
			return fmt.Sprintf("%v exists no longer and has content of its own", name)
		}
	}
	return ""
}

// newFeed is a relay without clients.
func newFeed(t testing.TB, v View) *relay {
	t.Helper()
	renderer, err := New(v)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{world: newWorld(t), renderer: renderer, log: feed.NewLog("xds", feed.Filter{}, feed.Options{})}
	if _, err := r.renderer.Begin(r.catalog, 1, r.log); err != nil {
		t.Fatal(err)
	}
	return r
}

// churn makes random changes, several between two updates, and says what diverged or was left dangling.
func churn(t testing.TB, v View, steps int) string {
	r := newFeed(t, v)
	named := map[Name]bool{}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	for range steps {
		for range 1 + random.IntN(3) {
			service, cluster := pick("orders", "assets", "catalog"), pick("hz-a", "hz-b", "sh-a")
			switch random.IntN(6) {
			case 0:
				r.withdraw(service, cluster)
			case 1:
				r.silent(cluster, random.IntN(2) == 0)
			case 2:
				r.policy(v1alpha1.ServicePolicySpec{Service: service, Failover: []v1alpha1.FailoverTier{
					{Scope: v1alpha1.FailoverScope(pick("Center", "Region", "Any"))}}})
			default:
				ports := []exportPort{{Name: pick("grpc", "web"), Number: 9000, Protocol: "GRPC"}}
				if random.IntN(2) == 0 {
					ports = append(ports, exportPort{Name: "admin", Number: 9001, Protocol: "HTTP"})
				}
				r.export(service, export{Cluster: cluster, CreatedMs: random.Int64N(3), Ports: ports})
			}
		}
		before := r.log.Position()
		r.render()
		if after := r.log.Position(); after.Seq > before.Seq+1 {
			return fmt.Sprintf("an update took %d commits", after.Seq-before.Seq)
		}
		if why := diverged(r); why != "" {
			return why
		}
		// Whatever was ever named by a client may be held still: it must be stopped by content.
		now := contents(r.log)
		for name := range named {
			if now[name] == "" {
				return fmt.Sprintf("%v went without content that refuses", name)
			}
		}
		for name := range now {
			named[name] = true
		}
	}
	return ""
}

func TestUpdatesEqualRenderingAnew(t *testing.T) {
	if why := churn(t, hangzhou, 300); why != "" {
		t.Fatal(why)
	}
}

func TestDeletionInsteadOfContentIsFound(t *testing.T) {
	v := hangzhou
	v.broken = breakGone
	if why := churn(t, v, 300); why == "" {
		t.Fatal("not found")
	} else {
		t.Log(why)
	}
}

func TestUpdateWritesOnlyWhatDiffers(t *testing.T) {
	r := newFeed(t, hangzhou)
	r.export("orders", export{Cluster: "hz-a", Endpoints: hosts(1, 2, "")})
	r.render()
	at := r.log.Position()
	if _, err := r.renderer.Update(r.catalog, []string{"orders", "nosuch"}, r.log); err != nil || r.log.Position() != at {
		t.Fatalf("nothing changed, and the position went from %s to %s, %v", at, r.log.Position(), err)
	}
	r.export("orders", export{Cluster: "hz-a", Endpoints: hosts(1, 3, "")})
	r.render()
	cursor := r.log.Cursor(at)
	defer cursor.Close()
	b, _ := cursor.Next()
	if len(b.Records) != 1 || b.Records[0].Kind != TypeEndpoint {
		t.Fatalf("one endpoint more wrote %d records, want the endpoints alone", len(b.Records))
	}
}

func TestNamesComeBeforeWhoNamesThemAndGoAfter(t *testing.T) {
	r := newFeed(t, hangzhou)
	order := func() []string {
		cursor := r.log.Cursor(r.log.Position())
		defer cursor.Close()
		r.render()
		b, _ := cursor.Next()
		var kinds []string
		for _, record := range b.Records {
			kinds = append(kinds, record.Kind)
		}
		return kinds
	}
	up := []string{TypeEndpoint, TypeCluster, TypeRoute, TypeListener, TypeListener}
	r.export("orders", export{Cluster: "hz-a", Endpoints: hosts(1, 1, "")})
	if got := order(); !slices.Equal(got, up) {
		t.Errorf("appearing: %q", got)
	}
	r.withdraw("orders", "hz-a")
	// The cluster's content is what it was, so it isn't written.
	if got := order(); !slices.Equal(got, []string{TypeListener, TypeListener, TypeRoute, TypeEndpoint}) {
		t.Errorf("going: %q", got)
	}
}

func TestNamesThatWentDisappearWhenManyOthersWent(t *testing.T) {
	r := newFeed(t, hangzhou)
	const services = maxGone/5 + 2 // each has five names
	for i := range services {
		r.export(fmt.Sprintf("s%d", i), export{Cluster: "hz-a"})
	}
	r.render()
	for i := range services {
		r.withdraw(fmt.Sprintf("s%d", i), "hz-a")
		r.render()
	}
	if got := r.log.Len(); got != maxGone {
		t.Errorf("%d names are kept, want %d", got, maxGone)
	}
	if _, ok := r.log.Get(TypeListener, "s0"); ok {
		t.Error("the first to go is kept")
	}
	last := fmt.Sprintf("s%d", services-1)
	held, ok := r.log.Get(TypeListener, last)
	if absent, _ := Absent(TypeListener, last, hangzhou); !ok || string(held.Value) != string(absent.Body) {
		t.Error("the last to go has other content than on demand")
	}
	r.export(last, export{Cluster: "hz-a"})
	r.render()
	if why := diverged(r); why != "" {
		t.Error(why)
	}
}

func TestOneServiceThatCannotBeRenderedHoldsUpNobody(t *testing.T) {
	r := newFeed(t, hangzhou)
	r.export("orders", export{Cluster: "hz-a", Endpoints: hosts(1, 1, "")})
	r.render()
	served := contents(r.log)
	for slice := range 60 {
		r.export("orders", export{Cluster: "hz-a", Source: fmt.Sprintf("s%d", slice), Endpoints: hosts(10+slice, 1000, "")})
	}
	r.export("assets", export{Cluster: "hz-a", Endpoints: hosts(2, 1, "")})
	if _, err := r.renderer.Update(r.catalog, r.news(), r.log); err != nil {
		t.Fatal(err)
	}
	failed := r.renderer.Failed()
	if len(failed) != 1 || failed[0].Service != "orders" || !errors.Is(failed[0].Err, feed.ErrTooLarge) {
		t.Fatalf("failed: %v", failed)
	}
	now := contents(r.log)
	for name, body := range served {
		if now[name] != body {
			t.Errorf("%v is no longer served as before", name)
		}
	}
	if now[Name{TypeEndpoint, "assets:grpc"}] == "" {
		t.Error("the other service is not served")
	}
	for slice := range 60 {
		r.export("orders", export{Cluster: "hz-a", Source: fmt.Sprintf("s%d", slice)})
	}
	r.render()
	if why := diverged(r); why != "" {
		t.Error(why)
	}
}

func TestAFeedThatRefusesChangesNothing(t *testing.T) {
	r := newFeed(t, hangzhou)
	r.export("orders", export{Cluster: "hz-a"})
	r.log.Resign()
	if _, err := r.renderer.Update(r.catalog, []string{"orders"}, r.log); !errors.Is(err, feed.ErrNotWriter) {
		t.Fatalf("got %v", err)
	}
	if _, err := r.renderer.Begin(r.catalog, 2, r.log); err != nil {
		t.Fatal(err)
	}
	if why := diverged(r); why != "" {
		t.Error(why)
	}
}

func TestBadViewsAndNamesAreRefused(t *testing.T) {
	for _, v := range []View{{}, {Class: 99, Region: "r", Center: "c"}, {Class: ClassGRPC, Center: "c"},
		{Class: ClassGRPC, Region: "r"}} {
		if _, err := New(v); err == nil {
			t.Errorf("%+v is accepted", v)
		}
	}
	for _, name := range []string{"", "x", ServerListenerPrefix, ServerListenerPrefix + "localhost:1",
		ServerListenerPrefix + "1.2.3.4:0", ServerListenerPrefix + "1.2.3.4", ServerListenerPrefix + "1.2.3.4:99999"} {
		if r, err := ServerListener(name); err == nil {
			t.Errorf("%q gives %q", name, r.Name)
		}
	}
	for _, n := range []Name{{"", "x"}, {"type.googleapis.com/x", "x"}, {TypeRoute, ""},
		{TypeListener, ServerListenerPrefix + "x"}} {
		if _, ok := OnDemand(n.Type, n.Name); ok {
			t.Errorf("%v exists on demand", n)
		}
		if _, ok := Absent(n.Type, n.Name, hangzhou); ok {
			t.Errorf("%v has content", n)
		}
	}
}
