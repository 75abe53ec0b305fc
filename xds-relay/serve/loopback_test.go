package serve

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/process/loopback"
)

// testRelay is a server on loopback.
type testRelay struct {
	t       testing.TB
	log     *feed.Log
	server  *Server
	grpc    *grpc.Server
	address string
	metrics *prometheus.Registry
	output  *lines
	// end has the Server end, while gRPC goes on; stop ends both.
	end, stop func()
}

// patience bounds every wait: what takes milliseconds on an idle machine may take long on a busy one.
const patience = 2 * time.Minute

// patience is how long what is right is waited for; what a planted bug prevents, it prevents for good.
func (f faults) patience(planted time.Duration) time.Duration {
	if f == (faults{}) {
		return patience
	}
	return planted
}

// waiting makes streams wait for what clients had elsewhere as long as a test takes, which is more than Config allows.
func waiting(s *Server) { s.cfg.CatchUp = time.Hour }

// lines is a log that several goroutines write.
type lines struct {
	sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(p)
}

func (l *lines) String() string {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.String()
}

// startRelay serves log at address, "" for any. Its end is part of the test's, or earlier by stop.
func startRelay(t testing.TB, log *feed.Log, address string, change func(*Config)) *testRelay {
	t.Helper()
	return startRelayWith(t, log, address, change, ServerOptions())
}

func startRelayWith(
	t testing.TB, log *feed.Log, address string, change func(*Config), options []grpc.ServerOption, prepare ...func(*Server),
) *testRelay {
	t.Helper()
	r := &testRelay{t: t, log: log, metrics: prometheus.NewRegistry(), output: &lines{}}
	cfg := Config{
		Name: "relay", Resources: log, Metrics: r.metrics, Drain: 20 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(r.output, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if r.server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	for _, p := range prepare {
		p(r.server)
	}
	if address == "" {
		address = loopback.Address(t)
	}
	r.address = address
	lis := loopback.Listen(t, address)
	r.grpc = grpc.NewServer(options...)
	r.server.Register(r.grpc)
	ctx, cancel := context.WithCancel(context.Background())
	var running, serving sync.WaitGroup
	running.Go(func() { _ = r.server.Run(ctx) })
	serving.Go(func() { _ = r.grpc.Serve(lis) })
	r.end = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	r.stop = sync.OnceFunc(func() {
		r.end()
		r.grpc.Stop()
		serving.Wait()
	})
	t.Cleanup(r.stop)
	return r
}

func newLog(t testing.TB, changes ...feed.Change) *feed.Log {
	t.Helper()
	l := feed.NewLog("resources", feed.Filter{}, feed.Options{})
	if _, err := l.Begin(1, changes); err != nil {
		t.Fatal(err)
	}
	return l
}

func (r *testRelay) commit(changes ...feed.Change) {
	r.t.Helper()
	if _, err := r.log.Commit(changes...); err != nil {
		r.t.Fatal(err)
	}
}

// rawStream is a client that does as it is told.
type rawStream struct {
	t testing.TB
	discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient
}

func (r *testRelay) dial() *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func openStream(t testing.TB, conn *grpc.ClientConn) rawStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	s, err := discovery.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return rawStream{t, s}
}

func (s rawStream) ask(node, url, version, nonce string, names ...string) {
	s.t.Helper()
	req := &discovery.DiscoveryRequest{TypeUrl: url, VersionInfo: version, ResponseNonce: nonce, ResourceNames: names}
	if node != "" {
		req.Node = &corev3.Node{Id: node}
	}
	if err := s.Send(req); err != nil && err != io.EOF {
		s.t.Fatal(err)
	}
}

func (s rawStream) receive() *discovery.DiscoveryResponse {
	s.t.Helper()
	r, err := s.Recv()
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s rawStream) ended(want codes.Code) string {
	s.t.Helper()
	for {
		if _, err := s.Recv(); err != nil {
			if status.Code(err) != want {
				s.t.Fatalf("stream ended by %v, want %v", err, want)
			}
			return status.Convert(err).Message()
		}
	}
}

func body(t testing.TB, r *discovery.DiscoveryResponse) []string {
	t.Helper()
	var out []string
	for _, a := range r.GetResources() {
		out = append(out, string(a.GetValue()))
	}
	return out
}

// text is a change whose resource holds nothing but a text.
func text(t testing.TB, url, name, value string) feed.Change {
	t.Helper()
	b, err := proto.Marshal(&anypb.Any{TypeUrl: url, Value: []byte(value)})
	if err != nil {
		t.Fatal(err)
	}
	return feed.Change{Kind: url, Key: name, Value: b}
}

// dial2 is a connection without gRPC's limit on what it receives.
func (r *testRelay) dial2() *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// gather reads "name type" -> value, the count for a histogram.
func gather(t testing.TB, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			out[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}
