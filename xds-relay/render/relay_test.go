package render

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/xds"

	"pentad.dev/pentad/federation/feed"
)

// relay is a world, rendered and served to real gRPC clients.
type relay struct {
	*world
	renderer *Renderer
	log      *feed.Log
	ads      *adsServer
	address  string
}

var hangzhou = View{Class: ClassGRPC, Region: "hangzhou", Center: "hz-a"}

func newRelay(t testing.TB, v View) *relay {
	t.Helper()
	renderer, err := New(v)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{world: newWorld(t), renderer: renderer, log: feed.NewLog("xds", feed.Filter{}, feed.Options{})}
	if _, err := r.renderer.Begin(r.catalog, 1, r.log); err != nil {
		t.Fatal(err)
	}
	r.ads, r.address = serveADS(t, r.log, v)
	t.Cleanup(func() {
		if nacks := r.ads.rejected(); len(nacks) > 0 && v.broken == 0 {
			t.Errorf("the client rejected: %q", nacks)
		}
	})
	return r
}

// render brings what changed to the clients.
func (r *relay) render() {
	r.t.Helper()
	if _, err := r.renderer.Update(r.catalog, r.news(), r.log); err != nil {
		r.t.Fatal(err)
	}
	if failed := r.renderer.Failed(); len(failed) > 0 {
		r.t.Fatal(failed)
	}
}

func (r *relay) bootstrap() []byte {
	return fmt.Appendf(nil, `{"xds_servers": [{"server_uri": %q, "channel_creds": [{"type": "insecure"}],
		"server_features": ["xds_v3", "ignore_resource_deletion"]}],
		"node": {"id": "test", "locality": {"region": "hangzhou", "zone": "hz-a"}},
		"server_listener_resource_name_template": "grpc/server?xds.resource.listening_address=%%s"}`, r.address)
}

// dial returns a proxyless client of a target such as "xds:///orders".
func (r *relay) dial(target string) *grpc.ClientConn {
	r.t.Helper()
	resolver, err := xds.NewXDSResolverWithConfigForTesting(r.bootstrap())
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := grpc.NewClient(target, grpc.WithResolvers(resolver),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// backends starts n real servers and returns where they are. They say their name in a header.
func backends(t testing.TB, name string, n int) []exportedHost {
	t.Helper()
	var out []exportedHost
	for range n {
		_, host := backend(t, name)
		out = append(out, host)
	}
	return out
}

func backend(t testing.TB, name string) (*grpc.Server, exportedHost) {
	t.Helper()
	g := grpc.NewServer(grpc.UnaryInterceptor(says(name)))
	healthpb.RegisterHealthServer(g, health.NewServer())
	host, port, _ := net.SplitHostPort(startServer(t, g))
	number, _ := strconv.ParseUint(port, 10, 16)
	return g, exportedHost{Address: host, Ports: map[string]uint32{"grpc": uint32(number)}}
}

// says names the server in each answer. A call for the service "slow" takes until its deadline.
func says(name string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if req.(*healthpb.HealthCheckRequest).GetService() == "slow" {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if err := grpc.SetHeader(ctx, metadata.Pairs("backend", name)); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

func call(conn *grpc.ClientConn, service string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var header metadata.MD
	request := &healthpb.HealthCheckRequest{Service: service}
	_, err := healthpb.NewHealthClient(conn).Check(ctx, request, grpc.Header(&header))
	if err != nil {
		return "", err
	}
	return header.Get("backend")[0], nil
}

// answers makes n calls and counts who answered; none may fail.
func answers(t testing.TB, conn *grpc.ClientConn, n int) map[string]int {
	t.Helper()
	out := map[string]int{}
	for range n {
		name, err := call(conn, "", patience)
		if err != nil {
			t.Fatalf("call failed: %v", err)
		}
		out[name]++
	}
	return out
}

// eventually waits until only these backends answer. No call may fail meanwhile.
func eventually(t testing.TB, conn *grpc.ClientConn, want ...string) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		got = slices.Sorted(maps.Keys(answers(t, conn, 40)))
		if slices.Equal(got, want) {
			return
		}
	}
	t.Fatalf("answers come from %q, want %q", got, want)
}
