package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func TestAKilledTCPServerIsUnhealthyAndOneThatIsBackIsReady(t *testing.T) {
	f := newFleet(t, "type: tcp, interval: 50ms, timeout: 30s")
	a := f.up("a")
	f.up("b")
	f.says("a")
	f.says("b")
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	a.kill()
	check(t, r.shows(f.is("a", "UNHEALTHY"), f.is("b", "READY")))
	f.up("a")
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
}

func TestAnHTTPServerIsJudgedByItsStatus(t *testing.T) {
	f := newFleet(t, `type: http, path: "/healthz?full=1", interval: 20ms, timeout: 1s, healthy: 2, unhealthy: 3`)
	var status, asked atomic.Int64
	status.Store(204)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.String() != "/healthz?full=1" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if status.Load() == 0 {
			<-r.Context().Done() // hangs
			return
		}
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(web.Close)
	f.add("a", &server{address: web.Listener.Addr().String(), kill: func() {}})
	f.says("a")
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY")))
	for _, s := range []struct {
		status int64
		shown  string
	}{{503, "UNHEALTHY"}, {302, "READY"}, {0, "UNHEALTHY"}, {200, "READY"}} {
		status.Store(s.status)
		check(t, r.shows(f.is("a", s.shown)))
	}
}

// A gRPC server's death is noticed by its connection, whatever the interval.
func TestAKilledGRPCServerIsNoticedAtOnce(t *testing.T) {
	f := newFleet(t, "type: grpc, interval: 1h, timeout: 1m")
	a := f.upGRPC("a")
	f.says("a")
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY")))
	began := time.Now()
	a.kill()
	check(t, r.shows(f.is("a", "UNHEALTHY")))
	t.Logf("a killed gRPC server was shown as unhealthy after %s", time.Since(began))
}

func TestAGRPCServerIsJudgedByItsHealthService(t *testing.T) {
	f := newFleet(t, "type: grpc, service: shop.Orders, interval: 20ms, timeout: 30s")
	a := f.upGRPC("a")
	f.says("a")
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "UNHEALTHY"))) // it knows no such service
	a.health.SetServingStatus("shop.Orders", healthpb.HealthCheckResponse_SERVING)
	check(t, r.shows(f.is("a", "READY")))
	a.health.SetServingStatus("shop.Orders", healthpb.HealthCheckResponse_NOT_SERVING)
	check(t, r.shows(f.is("a", "UNHEALTHY")))
}

// A server that hangs is asked at the interval: the end of a connection that the probe itself gives up is no news.
func TestAHungGRPCServerIsAskedAtTheInterval(t *testing.T) {
	f := newFleet(t, "")
	a := f.upGRPC("a")
	p := newProbe(Check{Type: CheckGRPC}, a.address)
	defer p.close()
	check(t, p.ask(t.Context()))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.ask(ended); err == nil {
		t.Fatal("a check whose time is over passes")
	}
	select {
	case <-p.lost():
		t.Error("the probe's own end of the connection is taken for a loss")
	case <-time.After(50 * time.Millisecond):
	}
	check(t, p.ask(t.Context()))
}

// The messages are what an operator has at three in the morning.
func TestAFailedCheckSaysWhatFailed(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	bare := grpc.NewServer()
	go bare.Serve(plain)
	t.Cleanup(bare.Stop)
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	check(t, err)
	t.Cleanup(func() { silent.Close() })
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err, dead.Close())
	for _, c := range []struct {
		check  Check
		target net.Addr
		want   string
		hard   bool
	}{
		{Check{Type: CheckTCP}, dead.Addr(), "connection refused", true},
		{Check{Type: CheckHTTP, Path: "/"}, dead.Addr(), "connection refused", true},
		{Check{Type: CheckGRPC}, dead.Addr(), "connection refused", true},
		{Check{Type: CheckHTTP, Path: "/x"}, web.Listener.Addr(), "/x: status 404, want 200 to 399", false},
		{Check{Type: CheckGRPC}, plain.Addr(), "has no grpc.health.v1.Health: register it there, or check by tcp", false},
		{Check{Type: CheckHTTP, Path: "/"}, silent.Addr(), "no answer within 100ms", false},
		{Check{Type: CheckGRPC}, silent.Addr(), "no answer within 100ms", false},
	} {
		c.check.Timeout = time.Minute
		if c.target.String() == silent.Addr().String() {
			c.check.Timeout = 100 * time.Millisecond
		}
		p := newProbe(c.check, c.target.String())
		m := monitor{check: c.check, target: c.target.String(), slots: make(chan struct{}, 1)}
		_, err := m.ask(t.Context(), p)
		p.close()
		if err == nil || !strings.Contains(err.Error(), c.want) || hard(err) != c.hard {
			t.Errorf("%s: got %v (hard %v), want %q", c.check.Type, err, hard(err), c.want)
		}
	}
}

func TestThresholdsAreCountedInARow(t *testing.T) {
	j := judge{check: Check{Healthy: 2, Unhealthy: 3, Interval: time.Second}}
	fail := errors.New("x")
	for i, step := range []struct {
		err     error
		news    bool
		healthy bool
	}{
		{nil, true, true}, // the first decides alone
		{fail, false, true}, {fail, false, true}, {nil, false, true}, {fail, false, true}, {fail, false, true},
		{fail, true, false},
		{nil, false, false}, {fail, false, false}, {nil, false, false}, {nil, true, true},
	} {
		if news := j.hear(step.err); news != step.news || j.healthy != step.healthy {
			t.Fatalf("step %d: news %v healthy %v, want %v %v", i, news, j.healthy, step.news, step.healthy)
		}
	}
}

// A refused connection is asked about again soon, then less and less; a slow one is asked about at the interval.
func TestAHardFailureIsCheckedAgainSoon(t *testing.T) {
	j := judge{check: Check{Interval: time.Second}}
	refused := fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	for i, want := range []time.Duration{20, 40, 80, 160, 320, 640} {
		if got := j.pause(refused); got != want*time.Millisecond {
			t.Errorf("pause %d after refusals is %s, want %dms", i, got, want)
		}
	}
	for _, err := range []error{refused, refused, nil, errors.New("slow")} {
		if got := j.pause(err); got < 900*time.Millisecond || got > 1100*time.Millisecond {
			t.Errorf("pause after %v is %s, want the interval", err, got)
		}
	}
	if got := j.pause(refused); got != quickest {
		t.Errorf("the first refusal after a good answer is asked about after %s, want %s", got, quickest)
	}
}

// At most so many checks run at once, and the time of those that wait begins when they run.
func TestChecksAreBounded(t *testing.T) {
	const at, all, timeout = 3, 12, time.Minute
	p := gate{deadlines: make(chan time.Time, all), open: make(chan struct{})}
	m := monitor{check: Check{Timeout: timeout}, slots: make(chan struct{}, at)}
	done := make(chan error, all)
	for range all {
		go func() { _, err := m.ask(t.Context(), p); done <- err }()
	}
	for range at {
		<-p.deadlines
	}
	time.Sleep(20 * time.Millisecond)
	if len(p.deadlines) > 0 {
		t.Errorf("more than %d checks run at once", at)
	}
	before := time.Now()
	close(p.open)
	for range all {
		check(t, <-done)
	}
	for range all - at {
		if left := (<-p.deadlines).Sub(before); left < timeout {
			t.Errorf("a check that had to wait was left %s, want %s", left, timeout)
		}
	}
}

// gate is a probe whose answers come when it opens.
type gate struct {
	deadlines chan time.Time
	open      chan struct{}
}

func (g gate) ask(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	g.deadlines <- deadline
	<-g.open
	return nil
}

func (gate) lost() <-chan struct{} { return nil }
func (gate) close()                {}
