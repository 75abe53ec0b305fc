package render

import (
	"net"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/xds"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
)

func TestClientPrefersItsCenterAndSpreadsOverItsEndpoints(t *testing.T) {
	r := newRelay(t, hangzhou)
	r.export("orders", export{Cluster: "hz-a", Endpoints: append(backends(t, "hz-a-1", 1), backends(t, "hz-a-2", 1)...)})
	r.export("orders", export{Cluster: "hz-b", Endpoints: backends(t, "hz-b", 1)})
	r.export("orders", export{Cluster: "sh-a", Endpoints: backends(t, "sh-a", 1)})
	r.render()
	for _, target := range []string{"xds:///orders", "xds:///orders:9000"} {
		conn := r.dial(target)
		eventually(t, conn, "hz-a-1", "hz-a-2")
		if got := answers(t, conn, 100); got["hz-a-1"] < 40 || got["hz-a-2"] < 40 {
			t.Errorf("%s: not spread evenly: %v", target, got)
		}
	}
}

func TestClientFollowsRemovalsThroughTheTiersAndBack(t *testing.T) {
	r := newRelay(t, hangzhou)
	clusters := []string{"hz-a", "hz-b", "sh-a"}
	exports := map[string]export{}
	for _, c := range clusters {
		exports[c] = export{Cluster: c, Endpoints: backends(t, c, 2)}
		r.export("orders", exports[c])
	}
	r.render()
	conn := r.dial("xds:///orders")
	for _, c := range clusters[:2] {
		eventually(t, conn, c)
		r.export("orders", export{Cluster: c})
		r.render()
	}
	eventually(t, conn, "sh-a")
	for _, c := range []string{"hz-b", "hz-a"} {
		r.export("orders", exports[c])
		r.render()
		eventually(t, conn, c)
	}
}

func TestClientFailsOverWhenATierDies(t *testing.T) {
	r := newRelay(t, hangzhou)
	local, at := backend(t, "hz-a")
	r.export("orders", export{Cluster: "hz-a", Endpoints: []exportedHost{at}})
	r.export("orders", export{Cluster: "hz-b", Endpoints: backends(t, "hz-b", 1)})
	r.render()
	conn := r.dial("xds:///orders")
	eventually(t, conn, "hz-a")
	local.Stop()
	// The relay knows nothing of it: the priorities that the client has must do.
	for deadline := time.Now().Add(patience); ; {
		name, err := call(conn, "", time.Second)
		if name == "hz-b" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no failover: %q, %v", name, err)
		}
	}
	eventually(t, conn, "hz-b")
}

func TestClientDemotesASilentCluster(t *testing.T) {
	r := newRelay(t, hangzhou)
	r.export("orders", export{Cluster: "hz-a", Endpoints: backends(t, "hz-a", 1)})
	remote, at := backend(t, "sh-a")
	r.export("orders", export{Cluster: "sh-a", Endpoints: []exportedHost{at}})
	r.render()
	conn := r.dial("xds:///orders")
	eventually(t, conn, "hz-a")
	r.silent("hz-a", true)
	r.render()
	eventually(t, conn, "sh-a")
	// Silent, but all that is left.
	remote.Stop()
	for deadline := time.Now().Add(patience); ; {
		if name, _ := call(conn, "", time.Second); name == "hz-a" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the silent cluster was not used")
		}
	}
	r.export("orders", export{Cluster: "sh-a"})
	r.render()
	eventually(t, conn, "hz-a")
	r.silent("hz-a", false)
	r.render()
	eventually(t, conn, "hz-a")
}

func TestClientSpillsInProportion(t *testing.T) {
	r := newRelay(t, hangzhou)
	local := backends(t, "hz-a", 2)
	// Half of the center is unhealthy: it keeps 70 %.
	r.export("orders", export{Cluster: "hz-a", Endpoints: append(local, hosts(1, 2, "Unhealthy")...)})
	r.export("orders", export{Cluster: "hz-b", Endpoints: backends(t, "hz-b", 1)})
	r.render()
	conn := r.dial("xds:///orders")
	eventually(t, conn, "hz-a", "hz-b")
	if got := answers(t, conn, 1000); got["hz-a"] < 630 || got["hz-a"] > 770 {
		t.Errorf("answers %v, want 70 %% from hz-a", got)
	}
}

func TestClientHonoursWeights(t *testing.T) {
	r := newRelay(t, hangzhou)
	_, heavy := backend(t, "heavy")
	heavy.Weight = 3
	r.export("orders", export{Cluster: "hz-a", Endpoints: append(backends(t, "light", 1), heavy)})
	r.render()
	conn := r.dial("xds:///orders")
	eventually(t, conn, "heavy", "light")
	if got := answers(t, conn, 1000); got["heavy"] < 680 || got["heavy"] > 820 {
		t.Errorf("answers %v, want 75 %% from the heavy one", got)
	}
}

func TestClientOfAnAbsentNameIsRefusedAtOnceAndServedWhenItAppears(t *testing.T) {
	r := newRelay(t, hangzhou)
	conn := r.dial("xds:///orders")
	if _, err := call(conn, "", patience); status.Code(err) != codes.Unavailable {
		t.Fatalf("got %v, want UNAVAILABLE", err)
	}
	r.ads.told(t, TypeListener)
	r.export("orders", export{Cluster: "hz-a", Endpoints: backends(t, "hz-a", 1)})
	r.render()
	appears(t, conn, "hz-a")
	// Gone again: refused, not left running.
	r.withdraw("orders", "hz-a")
	r.render()
	for deadline := time.Now().Add(patience); ; {
		if _, err := call(conn, "", time.Second); status.Code(err) == codes.Unavailable {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("calls go on after the service went")
		}
	}
	r.export("orders", export{Cluster: "hz-b", Endpoints: backends(t, "hz-b", 1)})
	r.render()
	appears(t, conn, "hz-b")
}

func appears(t testing.TB, conn *grpc.ClientConn, want string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		name, err := call(conn, "", time.Second)
		if name == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %q, %v; want %q", name, err, want)
		}
	}
}

func TestClientOfAnEmptyServiceIsRefusedAtOnce(t *testing.T) {
	r := newRelay(t, hangzhou)
	r.export("orders", export{Cluster: "hz-a"})
	r.render()
	if _, err := call(r.dial("xds:///orders"), "", patience); status.Code(err) != codes.Unavailable {
		t.Fatalf("got %v, want UNAVAILABLE", err)
	}
	r.ads.told(t, TypeEndpoint)
}

func TestClientIsBoundByThePolicysTimeout(t *testing.T) {
	r := newRelay(t, hangzhou)
	r.export("orders", export{Cluster: "hz-a", Endpoints: backends(t, "hz-a", 1)})
	r.render()
	conn := r.dial("xds:///orders")
	eventually(t, conn, "hz-a")
	if took := timeSlow(t, conn, 600*time.Millisecond); took < 500*time.Millisecond {
		t.Fatalf("without a policy the call ended after %s", took)
	}
	r.policy(v1alpha1.ServicePolicySpec{Service: "orders",
		Timeouts: &v1alpha1.Timeouts{Request: &metav1.Duration{Duration: 100 * time.Millisecond}}})
	r.render()
	for deadline := time.Now().Add(patience); ; {
		if timeSlow(t, conn, 2*time.Second) < time.Second {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the policy's timeout never came into force")
		}
	}
}

func timeSlow(t testing.TB, conn *grpc.ClientConn, timeout time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := call(conn, "slow", timeout); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("got %v, want DEADLINE_EXCEEDED", err)
	}
	return time.Since(start)
}

func TestServerServesWithItsListener(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::]:0"} {
		t.Run(address, func(t *testing.T) {
			r := newRelay(t, hangzhou)
			modes := make(chan error, 8)
			g, err := xds.NewGRPCServer(xds.BootstrapContentsForTesting(r.bootstrap()), grpc.UnaryInterceptor(says("server")),
				xds.ServingModeCallback(func(_ net.Addr, args xds.ServingModeChangeArgs) { modes <- args.Err }))
			if err != nil {
				t.Fatal(err)
			}
			healthpb.RegisterHealthServer(g, health.NewServer())
			listener, err := net.Listen("tcp", address)
			if err != nil {
				t.Skip(err)
			}
			done := make(chan struct{})
			go func() { defer close(done); _ = g.Serve(listener) }()
			t.Cleanup(func() { g.Stop(); <-done })
			select {
			case err := <-modes:
				if err != nil {
					t.Fatalf("the server doesn't serve: %v", err)
				}
			case <-time.After(patience):
				t.Fatal("the server doesn't serve")
			}
			_, port, _ := net.SplitHostPort(listener.Addr().String())
			number, _ := strconv.Atoi(port)
			r.export("orders", export{Cluster: "hz-a", Endpoints: []exportedHost{
				{Address: "127.0.0.1", Ports: map[string]uint32{"grpc": uint32(number)}},
			}})
			r.render()
			eventually(t, r.dial("xds:///orders"), "server")
		})
	}
}
