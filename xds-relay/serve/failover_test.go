package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/process/loopback"
	"pentad.dev/pentad/xds-relay/bootstrap/ipv4"
	"pentad.dev/pentad/xds-relay/render"
)

func TestMain(m *testing.M) {
	// As in a program whose bootstrap names all relays in one URI: only then grpc-go brings its versions along.
	ipv4.Register()
	os.Exit(m.Run())
}

// ownedRoute sends everything to the first cluster since an epoch, which it says as the renderer does.
func ownedRoute(since uint64, service string, clusters ...string) feed.Change {
	c := routeOf(service, clusters...)
	packed, config := &anypb.Any{}, &routev3.RouteConfiguration{}
	if err := errors.Join(proto.Unmarshal(c.Value, packed), packed.UnmarshalTo(config)); err != nil {
		panic(err)
	}
	config.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"pentad.dev": {
		Fields: map[string]*structpb.Value{"since": structpb.NewStringValue(strconv.FormatUint(since, 10))},
	}}}
	c.Value = encoded(config)
	return c
}

// moved is a service whose owner moved from the backend of cluster old to that of new at epoch 7.
type moved struct {
	ahead, behind *testRelay
	conn          *grpc.ClientConn
	one, two      string // the backends of old and new
	three         string // nobody's yet
}

func owners(f faults) func(*Config) {
	return func(c *Config) {
		estate(c)
		c.Since, c.faults = render.Since, f
	}
}

// failOver brings a client to the new owner by a relay that is ahead, which dies then. The one left is behind.
func failOver(t testing.TB, f faults, prepare ...func(*Server)) *moved {
	aside := startRelay(t, newLog(t), "", estate) // serves the backends only
	m := &moved{
		one: backend(t, "one", aside.address), two: backend(t, "two", aside.address),
		three: backend(t, "three", aside.address),
	}
	content := func(route feed.Change) *feed.Log {
		return newLog(t, listenerOf("svc"), route, clusterOf("old"), endpointsOf("old", m.one), clusterOf("new"),
			endpointsOf("new", m.two))
	}
	m.ahead = startRelay(t, content(ownedRoute(7, "svc", "new", "old")), "", owners(f))
	// It listens later: gRPC tries the second address, too, when the first is slow (gRFC A61).
	address := loopback.Address(t)
	m.conn = client(t, "svc", "ipv4:"+m.ahead.address+","+address)
	becomes(t, m.conn, "two")
	waitFor(t, func() bool { return strings.HasPrefix(acked(m.ahead, svcClient, RouteType), "7.") })
	m.behind = startRelayWith(t, content(ownedRoute(5, "svc", "old", "new")), address, owners(f), ServerOptions(), prepare...)
	m.ahead.grpc.Stop() // abruptly, as a killed process
	m.ahead.stop()
	return m
}

const svcClient = "client of svc"

// acked is the version of a type that a client acknowledged last.
func acked(r *testRelay, node, url string) string {
	for _, s := range r.server.Streams() {
		for _, ty := range s.Types {
			if s.Node == node && ty.Type == url {
				return ty.Acked
			}
		}
	}
	return ""
}

// watch calls without pause until it is stopped, and counts the answers of one backend, and the failures.
func watch(conn *grpc.ClientConn, name string) (stop func() (of, failed int64)) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var of, failed atomic.Int64
	running.Go(func() {
		for ctx.Err() == nil {
			got, err := who(conn, patience)
			if err != nil {
				failed.Add(1)
			} else if got == name {
				of.Add(1)
			}
			time.Sleep(time.Millisecond)
		}
	})
	return func() (int64, int64) {
		cancel()
		running.Wait()
		return of.Load(), failed.Load()
	}
}

// TestGRPCClientIsNotTakenBack: it fails over to a relay that is behind, goes on calling the new owner, takes what else
// that relay has to say, and its routes as soon as the relay has caught up.
func TestGRPCClientIsNotTakenBack(t *testing.T) {
	if err := notTakenBack(t, faults{}); err != nil {
		t.Fatal(err)
	}
}

func notTakenBack(t testing.TB, f faults) error {
	m := failOver(t, f, waiting) // so nothing but the commit that catches up can end the wait
	limit := f.patience(5 * time.Second)
	stop := watch(m.conn, "one")
	defer stop()
	if !within(limit, func() bool { return acked(m.behind, svcClient, ListenerType) != "" }) {
		return errors.New("the client did not come, or nothing was answered")
	}
	// What the new owner's endpoints are is no part of what waits.
	m.behind.commit(endpointsOf("new", m.three))
	if !within(limit, func() bool { got, _ := who(m.conn, limit); return got == "three" }) {
		of, failed := stop()
		return fmt.Errorf("no new endpoints; %d calls went back to the old owner, %d failed", of, failed)
	}
	// Neither are other clients, who have nothing to lose.
	becomes(t, client(t, "svc", m.behind.address), "one")
	awaits, missed := waits(m.behind.server, svcClient)
	if had := acked(m.behind, svcClient, RouteType); awaits != 7 || had != "" || missed != nil {
		return fmt.Errorf("awaits %d, has %q, missed %+v", awaits, had, missed)
	}
	m.behind.commit(ownedRoute(7, "svc", "new", "old"))
	start := time.Now()
	if !within(limit, func() bool { return strings.HasPrefix(acked(m.behind, svcClient, RouteType), "7.") }) {
		return fmt.Errorf("caught up, and the client has %q", acked(m.behind, svcClient, RouteType))
	}
	t.Logf("routes %v after the relay caught up", time.Since(start))
	if of, failed := stop(); of+failed != 0 {
		return fmt.Errorf("%d calls went back to the old owner, %d failed", of, failed)
	}
	return nil
}

func within(limit time.Duration, what func() bool) bool {
	for end := time.Now().Add(limit); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// TestGRPCClientIsAnsweredInAnyCase: the relay that it failed over to never catches up.
func TestGRPCClientIsAnsweredInAnyCase(t *testing.T) {
	if err := answeredAnyway(t, faults{}); err != nil {
		t.Fatal(err)
	}
}

func answeredAnyway(t testing.TB, f faults) error {
	m := failOver(t, f)
	var came time.Time
	if !within(f.patience(5*time.Second), func() bool {
		for _, s := range m.behind.server.Streams() {
			came = s.Since
		}
		return !came.IsZero()
	}) {
		return errors.New("the client did not come")
	}
	limit := f.patience(maxCatchUp + 2*time.Second)
	if !within(limit, func() bool { got, _ := who(m.conn, limit); return got == "one" }) {
		return fmt.Errorf("not answered after %v", time.Since(came))
	}
	after := time.Since(came)
	t.Logf("answered %v after the client came", after)
	_, missed := waits(m.behind.server, svcClient)
	if after < maxCatchUp || missed == nil || missed.Shown != 7 || missed.Had != 5 {
		return fmt.Errorf("taken back after %v, missed %+v", after, missed)
	}
	return nil
}
