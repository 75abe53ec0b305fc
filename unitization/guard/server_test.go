package guard

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

func TestEveryRefusalIsFailedPreconditionWithItsReason(t *testing.T) {
	three := users(5, frozen)
	three.Ranges[1].To = 49
	three.Ranges = append(three.Ranges, &permitpb.Range{From: 50, To: 99, Unit: "rz02", Cells: []string{ownCell},
		Since: 2})
	r := newRelay(t, permit.Longest, three)
	w := newWorkload(t, nil, r)
	for _, c := range []struct {
		method string
		shards []string
		reason Reason
		info   map[string]string
	}{
		{write, []string{"60"}, "", nil},
		{read, []string{"7"}, "", nil},
		{read, nil, "", nil},
		{write, []string{"7"}, Frozen, map[string]string{"unitization": "users", "shard": "7", "since": "5", "unit": "rz01"}},
		{write, []string{"30"}, WrongCell, map[string]string{"unitization": "users", "shard": "30", "since": "1",
			"unit": "rz03",
			"cell": "rz03.sh-a"}},
		{write, []string{"31"}, WrongCell, map[string]string{"unitization": "users", "shard": "31", "since": "1",
			"unit": "rz03",
			"cell": "rz03.sh-b"}},
		{write, nil, BadShard, map[string]string{"unitization": "users"}},
		{write, []string{"60", "60"}, BadShard, map[string]string{"unitization": "users"}},
		{write, []string{"60,60"}, BadShard, map[string]string{"unitization": "users"}},
		{write, []string{"060"}, BadShard, map[string]string{"unitization": "users"}},
		{read, []string{"60", "61"}, BadShard, map[string]string{"unitization": "users"}},
	} {
		err := w.call(c.method, c.shards...)
		if c.reason == "" {
			if err != nil {
				t.Errorf("%s with shards %q: %v", c.method, c.shards, err)
			}
			continue
		}
		st := status.Convert(err)
		if st.Code() != codes.FailedPrecondition || len(st.Details()) != 1 {
			t.Fatalf("%s with shards %q: %v", c.method, c.shards, err)
		}
		info := st.Details()[0].(*errdetails.ErrorInfo)
		if info.Domain != "pentad.dev" || info.Reason != string(c.reason) || fmt.Sprint(info.Metadata) != fmt.Sprint(c.info) {
			t.Errorf("%s with shards %q: %v, want %s %v", c.method, c.shards, info, c.reason, c.info)
		}
	}
}

func TestFreezeIsClosedWhenTheLastWriteEndsAndNotBefore(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, nil))
	w := newWorkload(t, func(c *Config) { c.Every = time.Hour }, r) // the next ask is far
	inside, leave := w.hold()
	done := make(chan error, 1)
	go func() { done <- w.call(write, "7") }()
	<-inside
	r.tell(users(4, frozen))
	spread := eventually(t, "the guard refuses", func() bool { return refusedFor(t, w.call(write, "8")) == Frozen })
	time.Sleep(50 * time.Millisecond)
	if r.heardClosed(4) {
		t.Error("the freeze was named closed with a write in flight")
	}
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("the write in flight: %v", err)
	}
	after := eventually(t, "the freeze is closed", func() bool { return r.heardClosed(4) })
	t.Logf("refused %s after the hint, closed %s after the last write", spread, after)
	r.tell(users(5, nil))
	eventually(t, "writes pass again", func() bool { return refusedFor(t, w.call(write, "8")) == "" })
}

func TestWithoutRelayWritesEndWithThePermitAndReadsGoOn(t *testing.T) {
	const holds = 5 * time.Second
	r := newRelay(t, holds, users(3, nil))
	clock := &handClock{mono: time.Hour}
	w := newWorkload(t, func(c *Config) { c.Every, c.Clock = 50*time.Millisecond, clock }, r)
	r.server.Stop()
	clock.pass(holds - 1)
	if err := w.call(write, "7"); err != nil {
		t.Errorf("a moment before the permit's end: %v", err)
	}
	clock.pass(1)
	if reason := refusedFor(t, w.call(write, "7")); reason != NoPermit {
		t.Errorf("at the permit's end: %q", reason)
	}
	if err := w.call(read, "7"); err != nil {
		t.Errorf("a read: %v", err)
	}
}

func TestKeepGoesOnWithoutRelay(t *testing.T) {
	m := users(3, nil)
	m.Keep = true
	r := newRelay(t, 200*time.Millisecond, m)
	w := newWorkload(t, func(c *Config) { c.Every = 50 * time.Millisecond }, r)
	r.server.Stop()
	time.Sleep(400 * time.Millisecond)
	if err := w.call(write, "7"); err != nil {
		t.Error(err)
	}
}

func TestMovedGuardGoesOnAndNeverBack(t *testing.T) {
	one, two := newRelay(t, time.Second, users(6, moved)), newRelay(t, time.Second, users(3, nil))
	w := newWorkload(t, func(c *Config) { c.Every = 50 * time.Millisecond }, one, two)
	one.server.Stop()
	eventually(t, "the second relay is asked", func() bool {
		two.mu.Lock()
		defer two.mu.Unlock()
		return two.asks > 2
	})
	if reason := refusedFor(t, w.call(write, "7")); reason != WrongCell {
		t.Errorf("by the second relay's older map: %q", reason)
	}
	two.tell(users(9, nil))
	eventually(t, "writes pass by the second relay's newer map",
		func() bool { return refusedFor(t, w.call(write, "7")) == "" })
}

func TestStoppingGuardRefusesWaitsAndReleases(t *testing.T) {
	for try := 1; !stopsWithAWriteInFlight(t); try++ { // a farewell's answer is waited for a moment only, which may be too short
		if try == 20 {
			t.Fatal("the relay was not told that nothing is held any more")
		}
	}
}

func stopsWithAWriteInFlight(t *testing.T) (released bool) {
	r := newRelay(t, permit.Longest, users(3, nil))
	w := newWorkload(t, func(c *Config) { c.Drain = patience }, r)
	inside, leave := w.hold()
	done, stopped := make(chan error, 1), make(chan struct{})
	go func() { done <- w.call(write, "7") }()
	<-inside
	go func() { w.stop(); close(stopped) }()
	eventually(t, "new writes are refused", func() bool { return refusedFor(t, w.call(write, "8")) == NoPermit })
	select {
	case <-stopped:
		t.Error("the guard stopped with a write in flight")
	case <-time.After(50 * time.Millisecond):
	}
	r.mu.Lock()
	if r.released {
		t.Error("released with a write in flight")
	}
	r.mu.Unlock()
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("the write in flight: %v", err)
	}
	<-stopped
	if reason := refusedFor(t, w.call(write, "8")); reason != NoPermit {
		t.Errorf("after the end: %q", reason)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.released
}

func TestStoppingGuardDoesNotWaitForEver(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, nil))
	w := newWorkload(t, func(c *Config) { c.Drain = 50 * time.Millisecond }, r)
	inside, leave := w.hold()
	go w.call(write, "7")
	<-inside
	w.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released {
		t.Error("released with a write in flight")
	}
	close(leave)
}

func TestRestartedGuardClosesAFreezeThatItFinds(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, nil))
	newWorkload(t, nil, r).stop()
	r.tell(users(4, frozen))
	w := newWorkload(t, nil, r)
	eventually(t, "the freeze is closed", func() bool { return r.heardClosed(4) })
	if reason := refusedFor(t, w.call(write, "7")); reason != Frozen {
		t.Errorf("write: %q", reason)
	}
}

func TestMethodTableFollowsTheRules(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, frozen))
	w := newWorkload(t, nil, r)
	if refusedFor(t, w.call(read, "7")) != "" || refusedFor(t, w.call(write, "7")) != Frozen {
		t.Fatal("the first table is not in force")
	}
	other := rules()
	other.Rules[0].Services[0].Reads = []string{"/orders.v1.Orders/Nothing"}
	r.tellRules(other)
	eventually(t, "what is not declared any more is a write", func() bool {
		return refusedFor(t, w.call(read,
			"7")) == Frozen
	})
	wrong := rules()
	wrong.Rules[0].Shards = 120
	for _, bad := range []*permitpb.RulesResponse{wrong, {}} {
		r.tellRules(bad)
		time.Sleep(30 * time.Millisecond)
		if refusedFor(t, w.call(read, "7")) != Frozen {
			t.Errorf("rules %v changed the table", bad)
		}
	}
	r.tellRules(rules())
	eventually(t, "it is declared again", func() bool { return refusedFor(t, w.call(read, "7")) == "" })
}

func TestPermissionTellsTheHandlerAndAsksAgain(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, nil))
	w := newWorkload(t, nil, r)
	var seen Permission
	var before, after error
	w.does(func(ctx context.Context) error {
		p, ok := w.guard.Permission(ctx)
		if !ok {
			return errors.New("no permission in the handler")
		}
		seen, before = p, p.Check()
		r.tell(users(4, frozen))
		eventually(t, "the handler is told", func() bool { after = p.Check(); return after != nil })
		return after
	})
	err := w.call(write, "7")
	if seen.Shard != 7 || seen.Since != 3 || seen.Cell != ownCell || seen.Unit != "rz01" || seen.Left <= 0 ||
		before != nil {
		t.Errorf("permission %+v, %v", seen.Decision, before)
	}
	if refusedFor(t, after) != Frozen || refusedFor(t, err) != Frozen {
		t.Errorf("after the freeze: %v; the call: %v", after, err)
	}
	// Back with the same owner, but frozen in between: what the handler read before may be old.
	r.tell(users(5, nil))
	eventually(t, "open again", func() bool { return w.guard.state.Load().own.epoch == 5 })
	if refusedFor(t, seen.Check()) != Frozen {
		t.Error("a permission of before the freeze holds after it")
	}
	if _, ok := w.guard.Permission(context.Background()); ok {
		t.Error("a context that came through no guard has a permission")
	}
}

func TestRefusalOfAnotherServiceIsNotPassedOnAsOurs(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, nil))
	w := newWorkload(t, nil, r)
	w.does(func(context.Context) error {
		return (&Refusal{Reason: Frozen, Unitization: "merchants", Shard: 3}).GRPCStatus().Err()
	})
	err := w.call(write, "7")
	if _, ok := RefusalOf(err); ok || status.Code(err) != codes.FailedPrecondition {
		t.Errorf("got %v, want FAILED_PRECONDITION without details", err)
	}
	w.does(func(context.Context) error { return status.Error(codes.NotFound, "no such order") })
	if err := w.call(write, "7"); status.Code(err) != codes.NotFound {
		t.Errorf("an error of the handler's own: %v", err)
	}
}

func TestHealthChecksNeedNoShard(t *testing.T) {
	b := newBench(t, nil)
	called := false
	_, err := b.UnaryServerInterceptor()(context.Background(), nil,
		&grpc.UnaryServerInfo{FullMethod: "/grpc.health.v1.Health/Check"},
		func(context.Context, any) (any, error) { called = true; return nil, nil })
	if err != nil || !called {
		t.Errorf("called %v, %v", called, err)
	}
}
