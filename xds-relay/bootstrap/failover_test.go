package bootstrap_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/xds"

	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/xds-relay/bootstrap"
	"pentad.dev/pentad/xds-relay/bootstrap/ipv4"
	"pentad.dev/pentad/xds-relay/render"
	"pentad.dev/pentad/xds-relay/serve"
)

func TestMain(m *testing.M) {
	// As a program's main function must: the xds client looks for schemes in grpc's global registry.
	ipv4.Register()
	os.Exit(m.Run())
}

var view = render.View{Class: render.ClassGRPC, Region: "hangzhou", Center: "hz-a"}

// relay is a process that serves a feed of resources over xDS.
type relay struct {
	address string
	xds     *serve.Server
	kill    func()
}

func startRelay(t *testing.T, resources *feed.Log, options ...grpc.ServerOption) *relay {
	t.Helper()
	server, err := serve.New(serve.Config{Resources: resources})
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(append(serve.ServerOptions(), options...)...)
	server.Register(g)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served, ran := make(chan struct{}), make(chan struct{})
	go func() { defer close(served); _ = g.Serve(listener) }()
	go func() { defer close(ran); _ = server.Run(ctx) }()
	r := &relay{address: listener.Addr().String(), xds: server}
	// Abruptly, as a killed process: the listener and all connections close at once.
	r.kill = func() { g.Stop(); cancel(); <-served; <-ran }
	t.Cleanup(r.kill)
	return r
}

// orders renders the service orders with one endpoint.
func orders(t *testing.T, at netip.AddrPort) []feed.Change {
	t.Helper()
	slice, err := catalog.NewSlice(&modelpb.EndpointSlice{Service: "orders", PortNames: []string{"grpc"},
		Endpoints: []*modelpb.Endpoint{{Address: at.Addr().String(), Ports: []uint32{uint32(at.Port())}}}})
	if err != nil {
		t.Fatal(err)
	}
	resources, err := render.Service(&catalog.Service{
		Name:  "orders",
		Ports: []*modelpb.Port{{Name: "grpc", Number: 9000, Protocol: modelpb.Protocol_PROTOCOL_GRPC}},
		Clusters: []catalog.ClusterEndpoints{
			{Cluster: "hz-a", Center: "hz-a", Region: "hangzhou", Slices: []*catalog.Slice{slice}},
		},
	}, view)
	if err != nil {
		t.Fatal(err)
	}
	var out []feed.Change
	for _, r := range resources {
		out = append(out, feed.Change{Kind: r.Type, Key: r.Name, Value: r.Body})
	}
	return out
}

// backend is a server that says its name.
func backend(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	g := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo,
		next grpc.UnaryHandler) (any, error) {
		if err := grpc.SetHeader(ctx, metadata.Pairs("backend", name)); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}))
	healthpb.RegisterHealthServer(g, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(listener) }()
	t.Cleanup(func() { g.Stop(); <-done })
	return netip.MustParseAddrPort(listener.Addr().String())
}

// client is a proxyless client of orders.
func client(t *testing.T, c bootstrap.Config) *grpc.ClientConn {
	t.Helper()
	b, err := bootstrap.GRPC(c)
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := xds.NewXDSResolverWithConfigForTesting(b)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///orders", grpc.WithResolvers(resolver),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// patience bounds every wait: what takes milliseconds on an idle machine may take long on a busy one.
const patience = 2 * time.Minute

// answers waits until the backend answers; with calm no call may fail meanwhile.
func answers(t *testing.T, conn *grpc.ClientConn, want string, calm bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		var header metadata.MD
		_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&header))
		cancel()
		if err != nil && calm {
			t.Fatalf("call failed: %v", err)
		}
		if got := header.Get("backend"); len(got) == 1 && got[0] == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q never answered: %v, %v", want, header, err)
		}
	}
}

func begin(t *testing.T, changes []feed.Change) *feed.Log {
	t.Helper()
	log := feed.NewLog("xds", feed.Filter{}, feed.Options{})
	if _, err := log.Begin(1, changes); err != nil {
		t.Fatal(err)
	}
	return log
}

// The client has everything it asked for, so nothing makes it look for another relay but the loss of its own. It loses
// no call, and hears of the next change from the other relay.
func TestClientMovesToTheNextRelayWhenItsOwnDies(t *testing.T) {
	first, second := backend(t, "first"), backend(t, "second")
	resources := begin(t, orders(t, first))
	one, two := startRelay(t, resources), startRelay(t, resources)
	c := config()
	c.Relays = []string{one.address, two.address}
	conn := client(t, c)
	answers(t, conn, "first", false)
	// gRPC tries the second address when the first did not answer within 250 ms (gRFC A61), as on a busy machine.
	for deadline := time.Now().Add(patience); len(one.xds.Streams()) != 1 || len(two.xds.Streams()) != 0; {
		if time.Now().After(deadline) {
			t.Fatalf("streams: %d at the first relay, %d at the second; want the first", len(one.xds.Streams()),
				len(two.xds.Streams()))
		}
		conn.Close()
		for len(one.xds.Streams())+len(two.xds.Streams()) > 0 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		conn = client(t, c)
		answers(t, conn, "first", false)
	}
	one.kill()
	answers(t, conn, "first", true)
	if _, err := resources.Commit(orders(t, second)...); err != nil {
		t.Fatal(err)
	}
	answers(t, conn, "second", true)
	if len(two.xds.Streams()) != 1 {
		t.Fatal("the client isn't at the second relay")
	}
}

// Beside the test above: with one relay in the URI the update never comes.
func TestClientOfOneRelayStaysBehind(t *testing.T) {
	first, second := backend(t, "first"), backend(t, "second")
	resources := begin(t, orders(t, first))
	one := startRelay(t, resources)
	c := config()
	c.Relays, c.SingleRelay = []string{one.address}, true
	conn := client(t, c)
	answers(t, conn, "first", false)
	one.kill()
	if _, err := resources.Commit(orders(t, second)...); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		answers(t, conn, "first", true)
	}
}

func TestClientStartsWhileTheFirstRelayIsDown(t *testing.T) {
	resources := begin(t, orders(t, backend(t, "first")))
	one, two := startRelay(t, resources), startRelay(t, resources)
	one.kill()
	c := config()
	c.Relays = []string{one.address, two.address}
	answers(t, client(t, c), "first", false)
}

// A certificate is checked against the address of the relay that was dialled, not against the list in the URI.
func TestClientChecksEachRelaysCertificateAgainstItsAddress(t *testing.T) {
	dir := t.TempDir()
	authority := newAuthority(t, dir)
	files := &bootstrap.Certificates{Certificate: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key"),
		CA: filepath.Join(dir, "ca.pem")}
	authority.issue(t, files.Certificate, files.Key)
	first, second := backend(t, "first"), backend(t, "second")
	resources := begin(t, orders(t, first))
	good := func() *relay {
		return startRelay(t, resources, grpc.Creds(credentials.NewTLS(authority.server(t, net.IPv4(127, 0, 0, 1)))))
	}
	one, two := good(), good()
	c := config()
	c.Relays, c.Certificates = []string{one.address, two.address}, files
	conn := client(t, c)
	answers(t, conn, "first", false)
	one.kill()
	if _, err := resources.Commit(orders(t, second)...); err != nil {
		t.Fatal(err)
	}
	answers(t, conn, "second", true)

	// A relay whose certificate is for another address is never believed.
	bad := startRelay(t, resources, grpc.Creds(credentials.NewTLS(authority.server(t, net.IPv4(10, 9, 9, 9)))))
	c.Relays = []string{bad.address}
	c.SingleRelay = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := healthpb.NewHealthClient(client(t, c)).Check(ctx, &healthpb.HealthCheckRequest{}); err == nil {
		t.Fatal("a relay with another address's certificate was believed")
	}
}

func TestSchemeRefusesWhatIsNoAddress(t *testing.T) {
	for target, want := range map[string]string{
		"ipv4:10.0.0.1:1,nonsense": `"nonsense"`, "ipv4:[::1]:1": "not of scheme ipv4",
		"ipv6:10.0.0.1:1": "not of scheme ipv6",
	} {
		conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
			cancel()
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that says %s", target, err, want)
		}
	}
}
