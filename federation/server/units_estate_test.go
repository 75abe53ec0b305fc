package server

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
	"pentad.dev/pentad/process/loopback"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/switchover"
)

// shortestPermit is T in these tests on an idle machine: as short as may be declared.
const shortestPermit = time.Second

// frozenLong is how many times as long permits are where a test does something while everything is frozen: nothing is so for
// longer than T.
const frozenLong = 3

// regions are where the centers of the tests are.
var regions = map[string]string{"hz-a": "hangzhou", "sh-a": "shanghai", "sz-a": "shenzhen"}

// units is an estate with everything between the servers and a write: relays, guards, agents, and the members of a
// store, in three centers, over real sockets. Unit rz01 has shards 0 to 4, its data in store db, and is in hz-a; rz02
// has the others, no store, and is in sh-a.
type units struct {
	*estate
	api     *client.Client
	sites   map[string]*site
	members map[string]*member // fakes; none where the members are ledgers
	// permit is T: long enough for this machine to renew permits while it does much else.
	permit time.Duration

	mu      sync.Mutex
	cutFile string
	network cut.File
}

// unitsOptions say what is not as usual.
type unitsOptions struct {
	// ledgers has ledgers for members in place of fakes.
	ledgers bool
	// holdsPermit is declared of the store. Ledgers do.
	holdsPermit bool
	// times has permits that are at least so many times as long; 0 is 1.
	times int
}

func newUnits(t *testing.T, servers int, options unitsOptions) *units {
	t.Helper()
	u := &units{
		estate: newEstate(t, servers), sites: map[string]*site{}, members: map[string]*member{},
		cutFile: filepath.Join(t.TempDir(), "cuts.json"),
		network: cut.File{Places: map[string]process.Place{}},
	}
	for _, c := range u.configs {
		u.network.Places[c.Listen.GRPC] = process.Place{Region: "core", Center: "core"}
	}
	u.api = u.client()
	u.leader()
	for _, name := range centers() {
		s := &site{units: u, center: name, log: u.log.With("at", name), ports: map[string]string{}}
		u.sites[name] = s
		for _, what := range []string{"relay", "agent", "admin", "ledger", "webhook"} {
			s.ports[what] = loopback.Address(t)
			u.network.Places[s.ports[what]] = process.Place{Region: regions[name], Center: name}
		}
	}
	u.saveCuts()
	u.permit = scaled(shortestPermit).Round(10*time.Millisecond) * time.Duration(max(1, options.times))
	if options.times > 1 { // a machine that was idle at the start may be busy later
		u.permit = min(max(u.permit, 2*shortestPermit*time.Duration(options.times)), permit.Longest)
	}
	u.declare(options)
	for _, name := range centers() {
		u.sites[name].start(options.ledgers)
	}
	return u
}

var createOptions = metav1.CreateOptions{}

func centers() []string { return []string{"hz-a", "sh-a", "sz-a"} }

// client calls the API at whichever server answers.
func (u *units) client() *client.Client {
	u.t.Helper()
	config := client.Config{
		TLS:     u.source(identity.RoleOperator, "ops", "pentad:admins").Client(identity.RoleServer),
		Timeout: patient,
	}
	for _, c := range u.configs {
		config.Endpoints = append(config.Endpoints, c.Listen.API)
	}
	c, err := client.New(config)
	check(u.t, err)
	u.t.Cleanup(c.Close)
	return c
}

// declare declares centers, clusters, the store and the units.
func (u *units) declare(options unitsOptions) {
	u.t.Helper()
	store := &v1alpha1.Store{ObjectMeta: named("db"), Spec: v1alpha1.StoreSpec{
		Primary: "hz-a", Replication: v1alpha1.ReplicationSynchronous, HoldsPermit: options.holdsPermit || options.ledgers,
	}}
	for _, name := range centers() {
		create(u.t, u.api.Centers(), center(name, regions[name]))
		create(u.t, u.api.Clusters(), &v1alpha1.Cluster{ObjectMeta: named(cluster(name)), Spec: v1alpha1.ClusterSpec{Center: name}})
		url := "http://" + u.sites[name].ports["webhook"] + "/fence"
		if !options.ledgers {
			u.members[name] = newMember(u.t, u.sites[name].ports["webhook"], "db", name, name == "hz-a")
		}
		store.Spec.Members = append(store.Spec.Members, v1alpha1.StoreMember{
			Center: name, Cluster: cluster(name),
			Webhook: &v1alpha1.WebhookDriver{URL: url, Timeout: &metav1.Duration{Duration: scaled(500 * time.Millisecond).Round(time.Millisecond)}},
		})
	}
	create(u.t, u.api.Stores(), store)
	create(u.t, u.api.Unitizations(), users(u.permit))
}

// waited is how long the end of permits is waited for.
func (u *units) waited() time.Duration { return u.permit + u.permit/100 }

func users(permit time.Duration) *v1alpha1.Unitization {
	return &v1alpha1.Unitization{ObjectMeta: named("users"), Spec: v1alpha1.UnitizationSpec{
		Shards: 10, Key: &v1alpha1.ShardingKey{Header: "x-user-id", Function: v1alpha1.KeyLastDigits},
		Guard: true, Permit: v1alpha1.PermitTerms{Duration: &metav1.Duration{Duration: permit}},
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
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

func cluster(center string) string { return center + "-vm" }

// relayPlace is where a center's relay is: it can be cut off from the servers alone.
func relayPlace(center string) process.Place {
	return process.Place{Region: regions[center], Center: "relay-of-" + center}
}

// isolate cuts a center off from everything outside it, its relay included, or heals that.
func (u *units) isolate(center string, is bool) {
	u.cutOff(center, is)
	u.cutOff(relayPlace(center).Center, is)
}

// cutOff cuts a place off from the servers, and from all other places.
func (u *units) cutOff(place string, is bool) {
	u.t.Helper()
	u.mu.Lock()
	u.network.Cuts = slices.DeleteFunc(u.network.Cuts, func(b cut.Between) bool { return b.From.Center == place })
	if is {
		u.network.Cuts = append(u.network.Cuts, cut.Between{From: cut.Selector{Center: place}})
	}
	want := slices.Clone(u.network.Cuts)
	u.mu.Unlock()
	u.saveCuts()
	for name, s := range u.sites {
		for _, network := range s.networks() {
			eventually(u.t, "look of "+name+" at the cuts", patient, func() bool { return slices.Equal(network.Cuts(), want) })
		}
	}
	time.Sleep(scaled(50 * time.Millisecond)) // agents look at it more often
}

func (u *units) saveCuts() {
	u.t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	check(u.t, u.network.Save(u.cutFile))
}

// state is the newest that any server has.
func (u *units) state() switchover.State {
	var newest switchover.State
	var at uint64
	for _, s := range u.servers {
		if s == nil {
			continue
		}
		if state, revision, _ := s.machine.Ownership(); revision >= at {
			newest, at = state, revision
		}
	}
	return newest
}

// runs runs something until it is stopped, or the test ends.
func (u *units) runs(what string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			u.t.Errorf("%s: %v", what, err)
		}
	})
	u.t.Cleanup(stop)
	return stop
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %s", what, within)
		}
	}
}
