package render

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/xds-relay/serve"
)

// newServed is a relay that real clients are served from by serve, with a backend of orders for each cell of users.
func newServed(t *testing.T, v View) *relay {
	t.Helper()
	r := newFeed(t, v)
	server, err := serve.New(serve.Config{Resources: r.log, Drain: time.Millisecond, Linger: patience,
		OnDemand: bodyOf(OnDemand),
		Absent:   bodyOf(func(typeURL, name string) (Resource, bool) { return Absent(typeURL, name, v) })})
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(serve.ServerOptions()...)
	server.Register(g)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Run(ctx) })
	r.address = startServer(t, g)
	t.Cleanup(func() {
		for _, s := range server.Streams() {
			for _, ty := range s.Types {
				if ty.Nacks > 0 {
					t.Errorf("%s refused %s: %s", s.Node, ty.Type, ty.Nack.Message)
				}
			}
		}
		cancel()
		running.Wait()
	})
	for _, cell := range []string{"rz01.hz-a", "rz01.hz-b", "rz01.sh-a", "rz03.sh-a", "rz03.sh-b"} {
		unit, cluster, _ := strings.Cut(cell, ".")
		r.export("orders", export{Cluster: cluster, Unit: unit, Endpoints: []exportedHost{cellBackend(t, cell)}})
	}
	return r
}

func bodyOf(f func(typeURL, name string) (Resource, bool)) func(typeURL, name string) ([]byte, bool) {
	return func(typeURL, name string) ([]byte, bool) {
		r, ok := f(typeURL, name)
		return r.Body, ok
	}
}

// cellBackend is a server without a guard that answers every method with its name.
func cellBackend(t testing.TB, name string) exportedHost {
	t.Helper()
	g := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		if err := s.RecvMsg(&emptypb.Empty{}); err != nil {
			return err
		}
		return s.SendMsg(wrapperspb.String(name))
	}))
	host, port, _ := net.SplitHostPort(startServer(t, g))
	number, _ := strconv.Atoi(port)
	return exportedHost{Address: host, Ports: map[string]uint32{"grpc": uint32(number)}}
}

// send makes a call with these headers, as "name: value" pairs, and says which cell answered.
func send(conn *grpc.ClientConn, path string, headers ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out := &wrapperspb.StringValue{}
	err := conn.Invoke(metadata.AppendToOutgoingContext(ctx, headers...), path, &emptypb.Empty{}, out)
	return out.GetValue(), err
}

// lands waits until calls with these headers land in a cell.
func lands(t *testing.T, conn *grpc.ClientConn, path, cell string, headers ...string) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		got, err := send(conn, path, headers...)
		if err == nil && got == cell {
			return time.Since(start)
		}
		if time.Since(start) > patience {
			t.Fatalf("%s %q lands in %q, %v; want %q", path, headers, got, err, cell)
		}
	}
}

// patience bounds every wait: what takes milliseconds on an idle machine may take long on a busy one.
const patience = 2 * time.Minute

const (
	writePath = "/shop.Orders/Put"
	readPath  = "/shop.Orders/Get"
)

func TestClientReachesTheCellOfItsShard(t *testing.T) {
	r := newServed(t, hangzhou)
	r.unitization("users", users("orders"))
	r.own("users", steady)
	r.render()
	conn := r.dial("xds:///orders")
	lands(t, conn, writePath, "rz01.hz-a", HeaderShard, "0")
	for _, c := range []struct {
		want    string
		headers []string
	}{
		{"rz01.hz-a", []string{HeaderShard, "0"}},
		{"rz01.hz-a", []string{HeaderShard, "49"}},
		{"rz03.sh-a", []string{HeaderShard, "50"}},
		{"rz03.sh-a", []string{HeaderShard, "99"}},
		{"rz01.sh-a", []string{HeaderShard, "7", HeaderCell, "rz01.sh-a"}},
		{"rz03.sh-b", []string{HeaderShard, "7", HeaderCell, "rz03.sh-b"}},
		{"rz01.hz-a", []string{HeaderShard, "7", HeaderCell, "nosuch.hz-a"}},
		{"", nil},
		{"", []string{HeaderShard, "100"}},
		{"", []string{HeaderShard, "-1"}},
		{"", []string{HeaderShard, "x"}},
		{"", []string{HeaderShard, ""}},
		{"", []string{HeaderShard, "7", HeaderShard, "7"}},
		{"", []string{HeaderShard, "7", HeaderShard, "8"}},
	} {
		for _, path := range []string{writePath, readPath} {
			got, err := send(conn, path, c.headers...)
			if c.want == "" && status.Code(err) != codes.FailedPrecondition || c.want != "" && (err != nil || got != c.want) {
				t.Errorf("%s %q: %q, %v; want %q", path, c.headers, got, err, c.want)
			}
		}
	}
}

func TestAServiceThatIsBoundRefusesUntilItsMapIsThere(t *testing.T) {
	r := newServed(t, hangzhou)
	r.render()
	conn := r.dial("xds:///orders")
	lands(t, conn, writePath, "rz01.hz-a")
	refuses := func(when string, headers ...string) {
		t.Helper()
		for start := time.Now(); ; {
			// UNAVAILABLE may come in between: the plain name's endpoints are gone before its routes are.
			if _, err := send(conn, writePath, headers...); status.Code(err) == codes.FailedPrecondition {
				return
			} else if time.Since(start) > patience {
				t.Fatalf("%s: %v", when, err)
			}
		}
	}
	r.unitization("users", users("orders"))
	r.render()
	refuses("without a map")
	refuses("without a map, stamped", HeaderShard, "7")
	refuses("without a map, addressed", HeaderCell, "rz01.hz-a")
	r.own("users", steady)
	r.render()
	lands(t, conn, writePath, "rz01.hz-a", HeaderShard, "7")
	refuses("unstamped")
	r.commit(feed.IntentID, feed.Change{Kind: "Unitization", Key: "users"})
	r.render()
	refuses("without the object", HeaderShard, "7")
	r.commit(feed.IntentID, feed.Change{Kind: model.KindOwnership, Key: "users"})
	r.render()
	lands(t, conn, writePath, "rz01.hz-a")
}

func TestAGlobalServiceIsReadInTheCityAndWrittenAtItsOwner(t *testing.T) {
	r := newServed(t, hangzhou)
	r.unitization("shared", v1alpha1.UnitizationSpec{Shards: 1, Units: []v1alpha1.Unit{
		{Name: "rz03", Type: v1alpha1.UnitGlobal, Cells: []v1alpha1.Cell{{Center: "sh-b"}}},
		{Name: "rz01", Type: v1alpha1.UnitCity, Cells: []v1alpha1.Cell{{Center: "hz-a"}, {Center: "hz-b"}}},
	}, Services: []v1alpha1.ServiceBinding{{Name: "orders", Type: v1alpha1.UnitGlobal, Reads: []string{readPath}}}})
	r.own("shared", owned(3, "0-0 rz03 sh-b"))
	r.render()
	conn := r.dial("xds:///orders")
	lands(t, conn, writePath, "rz03.sh-b")
	lands(t, conn, readPath, "rz01.hz-a")
	lands(t, conn, readPath, "rz01.hz-b", HeaderCell, "rz01.hz-b")
	r.own("shared", owned(4, "!0-0 rz03 sh-b"))
	r.render()
	for deadline := time.Now().Add(patience); ; {
		if _, err := send(conn, writePath); status.Code(err) == codes.FailedPrecondition {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("frozen: %v", err)
		}
	}
	lands(t, conn, readPath, "rz01.hz-a")
}
