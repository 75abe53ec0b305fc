package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/agents"
	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/loopback"
	xdsrelay "pentad.dev/pentad/xds-relay"
	"pentad.dev/pentad/xds-relay/render"
)

// shop is an estate where a service, orders, runs in clusters, each beside a server: real agents that read a registry
// file, real relays, and a data plane at each relay that notes every answer it gets over xDS.
type shop struct {
	*estate
	api     *client.Client
	regions map[string]string
	plants  map[string]*plant
}

// plant is what runs in one center: a cluster with its agent and its relay.
type plant struct {
	*shop
	center, registry     string
	agent                agents.Config
	relay                xdsrelay.Config
	stopAgent, stopRelay func()

	mu sync.Mutex
	// answers are the endpoints of orders in each answer, in order: those of a priority by a space, priorities by a slash.
	answers []string
}

// newShop starts servers, and declares a cluster beside each of the centers named, the servers' own names. Clusters are
// in one region but the last one.
func newShop(t *testing.T, servers int, centers ...string) *shop {
	t.Helper()
	s := &shop{estate: newEstate(t, servers), regions: map[string]string{}, plants: map[string]*plant{}}
	s.leader()
	s.api = s.client()
	for i, name := range centers {
		s.regions[name] = "east"
		if i == len(centers)-1 {
			s.regions[name] = "west"
		}
		create(t, s.api.Centers(), center(name, s.regions[name]))
		create(t, s.api.Clusters(), &v1alpha1.Cluster{ObjectMeta: named(cluster(name)), Spec: v1alpha1.ClusterSpec{Center: name}})
		s.plants[name] = s.newPlant(name)
	}
	for _, name := range centers {
		s.plants[name].startRelay()
		s.plants[name].startAgent()
		s.plants[name].startDataPlane()
	}
	return s
}

// client calls the API at whichever server answers.
func (s *shop) client() *client.Client {
	s.t.Helper()
	config := client.Config{
		TLS:     s.source(identity.RoleOperator, "ops", "pentad:admins").Client(identity.RoleServer),
		Timeout: patient,
	}
	for _, c := range s.configs {
		config.Endpoints = append(config.Endpoints, c.Listen.API)
	}
	c, err := client.New(config)
	check(s.t, err)
	s.t.Cleanup(c.Close)
	return c
}

func (s *shop) newPlant(center string) *plant {
	s.t.Helper()
	place := process.Place{Region: s.regions[center], Center: center}
	p := &plant{shop: s, center: center, registry: filepath.Join(s.t.TempDir(), "registry.yaml")}
	name := cluster(center) + "/one"
	p.relay = xdsrelay.Config{
		Name: "one", Cluster: cluster(center), Place: place, DataDir: s.t.TempDir(),
		Listen:       xdsrelay.Listen{GRPC: loopback.Address(s.t), Admin: loopback.Address(s.t)},
		Certificates: issue(s.t, s.authority, identity.ID{TrustDomain: trustDomain, Role: identity.RoleRelay, Name: name}),
	}
	p.agent = agents.Config{
		Cluster: cluster(center), Place: place, DataDir: s.t.TempDir(), Listen: agents.Listen{Admin: loopback.Address(s.t)},
		Certificates: issue(s.t, s.authority, identity.ID{TrustDomain: trustDomain, Role: identity.RoleAgent, Name: cluster(center)}),
		Sources:      []agents.Source{{Name: "static", Type: agents.SourceFile, Path: p.registry}},
		Relays:       []agents.Relay{{Name: "one", GRPC: p.relay.Listen.GRPC}},
	}
	for _, c := range s.configs {
		// A center's own server is the nearest to what is in it.
		near := c.Place
		if c.Name == center {
			near = place
		}
		p.relay.Servers = append(p.relay.Servers, xdsrelay.Peer{Name: c.Name, Place: near, GRPC: c.Listen.GRPC})
		p.agent.Servers = append(p.agent.Servers, agents.Server{Name: c.Name, Place: near, GRPC: c.Listen.GRPC})
	}
	p.runs(1)
	return p
}

// runs writes the registry: instances of orders, all at the center's own address, by port.
func (p *plant) runs(ports ...int) {
	p.t.Helper()
	var b strings.Builder
	b.WriteString("services:\n- name: orders\n  ports: [{name: grpc, port: 9000, protocol: GRPC}]\n  instances:\n")
	for _, port := range ports {
		fmt.Fprintf(&b, "  - {name: orders-%d, address: %s, ports: {grpc: %d}}\n", port, p.address(), port)
	}
	if len(ports) == 0 {
		b.WriteString("    []\n")
	}
	next := p.registry + ".next"
	check(p.t, os.WriteFile(next, []byte(b.String()), 0o600))
	check(p.t, os.Rename(next, p.registry))
}

// address is 10.0.0.n for the n-th server's center.
func (p *plant) address() string { return "10.0.0." + strings.TrimPrefix(p.center, "s") }

// start runs a process until it is stopped, or the test ends.
func (p *plant) start(what string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			p.t.Errorf("%s of %s: %v", what, p.center, err)
		}
	})
	p.t.Cleanup(stop)
	return stop
}

func (p *plant) startAgent() {
	p.t.Helper()
	environment.RLock()
	agent, err := agents.New(p.agent, p.log.With("agent", p.center))
	environment.RUnlock()
	check(p.t, err)
	p.stopAgent = p.start("agent", agent.Run)
}

func (p *plant) startRelay() {
	p.t.Helper()
	environment.RLock()
	relay, err := xdsrelay.New(p.relay, p.log.With("relay", p.center))
	environment.RUnlock()
	check(p.t, err)
	p.stopRelay = p.start("relay", relay.Run)
}

func (p *plant) startDataPlane() {
	p.t.Helper()
	workload := p.source(identity.RoleWorkload, "orders/"+p.center)
	p.start("data plane", func(ctx context.Context) error { return p.drive(ctx, workload) })
}

// drive is a data plane: it asks for the endpoints of orders, again whenever its stream ends, until the test does.
func (p *plant) drive(ctx context.Context, workload *identity.Source) error {
	for ctx.Err() == nil {
		conn, err := grpc.NewClient(p.relay.Listen.GRPC, grpc.WithTransportCredentials(
			credentials.NewTLS(workload.Client(identity.RoleRelay))))
		if err != nil {
			return err
		}
		_ = p.listen(ctx, conn) // a relay that is gone
		_ = conn.Close()
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func (p *plant) listen(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return err
	}
	ask := &discoveryv3.DiscoveryRequest{
		Node: &corev3.Node{Id: "orders." + p.center}, TypeUrl: render.TypeEndpoint, ResourceNames: []string{"orders:grpc"},
	}
	for {
		if err := stream.Send(ask); err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		shown, err := shownIn(answer)
		if err != nil {
			p.t.Errorf("%s: %v", p.center, err)
			return err
		}
		p.mu.Lock()
		p.answers = append(p.answers, shown)
		p.mu.Unlock()
		ask.VersionInfo, ask.ResponseNonce, ask.Node = answer.GetVersionInfo(), answer.GetNonce(), nil
	}
}

// shownIn are the endpoints of an answer, as "s1:1 s1:2/s2:1" by priority.
func shownIn(answer *discoveryv3.DiscoveryResponse) (string, error) {
	byPriority := map[uint32][]string{}
	for _, resource := range answer.GetResources() {
		var assignment endpointv3.ClusterLoadAssignment
		if err := resource.UnmarshalTo(&assignment); err != nil {
			return "", err
		}
		for _, locality := range assignment.GetEndpoints() {
			for _, e := range locality.GetLbEndpoints() {
				at := e.GetEndpoint().GetAddress().GetSocketAddress()
				name := fmt.Sprintf("s%s:%d", strings.TrimPrefix(at.GetAddress(), "10.0.0."), at.GetPortValue())
				byPriority[locality.GetPriority()] = append(byPriority[locality.GetPriority()], name)
			}
		}
	}
	var tiers []string
	for i := range uint32(len(byPriority)) {
		slices.Sort(byPriority[i])
		tiers = append(tiers, strings.Join(byPriority[i], " "))
	}
	return strings.Join(tiers, "/"), nil
}

// shows is the last answer that the data plane got.
func (p *plant) shows() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.answers) == 0 {
		return "nothing yet"
	}
	return p.answers[len(p.answers)-1]
}

// since are the answers from the n-th on, and how many there are.
func (p *plant) since(n int) ([]string, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.answers[n:]), len(p.answers)
}

// settles waits until the data plane was shown something.
func (p *plant) settles(want string, within time.Duration) {
	p.t.Helper()
	for deadline := time.Now().Add(within); p.shows() != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("the data plane of %s is shown %q after %s, want %q", p.center, p.shows(), within, want)
		}
	}
}

// keepFor declares how long a cluster is kept.
func (s *shop) keepFor(center, keep string) {
	s.t.Helper()
	change(s.t, s.api.Clusters(), cluster(center), func(c *v1alpha1.Cluster) {
		c.Spec.OnSilence = &v1alpha1.OnSilence{KeepFor: keep}
	})
}
