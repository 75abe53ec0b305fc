package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/xds-relay/render"
)

func run(t *testing.T, h *held) (*pipeline, *feed.Log) {
	t.Helper()
	resources := feed.NewLog(resourcesID, feed.Filter{}, feed.Options{})
	return runInto(t, h, resources), resources
}

func runInto(t *testing.T, h *held, resources *feed.Log) *pipeline {
	t.Helper()
	p, err := newPipeline(h, resources, "hz-a-vm", render.View{Class: render.ClassGRPC, Region: "hangzhou", Center: "hz-a"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p.silentAfter = 400 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

// ports are the endpoints' ports of orders, in order of priority: "1 2/3" is 1 and 2 first, then 3.
func ports(t *testing.T, resources *feed.Log) string {
	t.Helper()
	byPriority := map[uint32][]string{}
	for r := range resources.All() {
		if r.Kind != render.TypeEndpoint {
			continue
		}
		var wrapped anypb.Any
		var assignment endpointv3.ClusterLoadAssignment
		if err := errors.Join(proto.Unmarshal(r.Value, &wrapped), wrapped.UnmarshalTo(&assignment)); err != nil {
			t.Fatal(err)
		}
		for _, locality := range assignment.GetEndpoints() {
			for _, e := range locality.GetLbEndpoints() {
				port := e.GetEndpoint().GetAddress().GetSocketAddress().GetPortValue()
				byPriority[locality.GetPriority()] = append(byPriority[locality.GetPriority()], fmt.Sprint(port))
			}
		}
	}
	var tiers []string
	for i := range uint32(len(byPriority)) {
		tiers = append(tiers, strings.Join(byPriority[i], " "))
	}
	return strings.Join(tiers, "/")
}

func eventually(t *testing.T, want string, got func() string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); got() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %q, want %q", got(), want)
		}
	}
}

func TestNothingIsShownBeforeTheKnowledgeIsWhole(t *testing.T) {
	h := newHeld(t)
	h.err = errors.New("not yet")
	h.orders(t, "hz-a-vm", 1)
	_, resources := run(t, h)
	time.Sleep(2 * judgeEvery)
	if at := resources.Position(); !at.IsZero() {
		t.Errorf("shown at %s though upstream was not ready", at)
	}
}

func TestAllThatMadeTheKnowledgeWholeIsShownAtOnce(t *testing.T) {
	h := newHeld(t)
	h.arrives = func() { h.orders(t, "hz-a-vm", 1) }
	_, resources := run(t, h)
	eventually(t, "1", func() string { return ports(t, resources) })
	if at := resources.Position(); at.Seq != 1 {
		t.Errorf("it took %d commits", at.Seq)
	}
}

func TestASilentClusterIsDemotedBehindEveryLiveOneAndNotWithdrawn(t *testing.T) {
	h := newHeld(t)
	near := h.orders(t, "hz-a-vm", 1)
	h.orders(t, "sh-a-vm", 2)
	_, resources := run(t, h)
	show := func() string { return ports(t, resources) }
	eventually(t, "1/2", show)

	near.Resign() // its writer is heard of no more; the other one writes in this process, so it stays live
	eventually(t, "2/1", show)

	h.orders(t, "hz-a-vm", 3) // the writer is back
	eventually(t, "3/2", show)
}

func TestAChangeGoesThroughWithoutATick(t *testing.T) {
	h := newHeld(t)
	l := h.orders(t, "hz-a-vm", 1)
	_, resources := run(t, h)
	show := func() string { return ports(t, resources) }
	eventually(t, "1", show)
	slice := &modelpb.EndpointSlice{Service: "orders", PortNames: []string{"grpc"}, Endpoints: []*modelpb.Endpoint{{Address: "10.0.0.1", Ports: []uint32{7}}}}
	value, err := model.Encode(slice)
	if err != nil {
		t.Fatal(err)
	}
	cursor := resources.Cursor(resources.Position())
	defer cursor.Close()
	if _, err := l.Commit(feed.Change{Kind: model.KindEndpointSlice, Key: "orders/0", Value: value}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "7", show)
}

func TestARecordThatCannotBeUsedIsReported(t *testing.T) {
	h := newHeld(t)
	l := h.orders(t, "hz-a-vm", 1)
	p, resources := run(t, h)
	eventually(t, "1", func() string { return ports(t, resources) })
	if _, err := l.Commit(feed.Change{Kind: model.KindEndpointSlice, Key: "orders/0", Value: []byte("garbage")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "1", func() string {
		var s Status
		p.report(&s)
		return fmt.Sprint(len(s.Problems))
	})
	if got := ports(t, resources); got != "1" {
		t.Errorf("what was there before does not stay in force: %q", got)
	}
}

func TestTheRenderedRevisionFollowsTheIntent(t *testing.T) {
	h := newHeld(t)
	h.err = errors.New("not yet")
	h.orders(t, "hz-a-vm", 1)
	p, resources := run(t, h)
	time.Sleep(2 * judgeEvery)
	if got := p.rendered(); got != 0 {
		t.Fatalf("rendered %d before anything is shown", got)
	}
	intent := intentLog(t, h)
	p.mu.Lock() // under which the pipeline asks
	h.err = nil
	p.mu.Unlock()
	eventually(t, "1", func() string { return ports(t, resources) })
	revision := func() string { return fmt.Sprint(p.rendered()) }
	eventually(t, fmt.Sprint(intent.Position().Seq), revision)

	cursor := resources.Cursor(resources.Position())
	defer cursor.Close()
	at, err := intent.Commit(feed.Change{Kind: "Unitization", Key: "users", Value: []byte(users)},
		owned(t, 1, modelpb.RangeState_RANGE_STATE_OPEN))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, fmt.Sprint(at.Seq), revision)
	if _, ok := cursor.Next(); !ok {
		t.Error("the revision is said to be shown before its resources are")
	}
	// A revision that changes no resource is shown, too.
	if at, err = intent.Commit(feed.Change{Kind: "Switchover", Key: "x", Value: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, fmt.Sprint(at.Seq), revision)
	var s Status
	if p.report(&s); s.Rendered != at.Seq || len(s.Problems) != 0 {
		t.Errorf("status: rendered %d, problems %q", s.Rendered, s.Problems)
	}
}

func TestRulesAreToldWhenTheyChangeAndNotWhenOwnershipDoes(t *testing.T) {
	h := newHeld(t)
	h.orders(t, "hz-a-vm", 1)
	p, resources := run(t, h)
	eventually(t, "1", func() string { return ports(t, resources) })
	told, news := p.rules()
	if told == nil || len(told.GetRules()) != 0 {
		t.Fatalf("rules: %v", told)
	}
	intent := intentLog(t, h)
	commit := func(changes ...feed.Change) {
		t.Helper()
		at, err := intent.Commit(changes...)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprint(at.Seq), func() string { return fmt.Sprint(p.rendered()) })
	}
	commit(feed.Change{Kind: "Unitization", Key: "users", Value: []byte(users)},
		owned(t, 1, modelpb.RangeState_RANGE_STATE_OPEN))
	select {
	case <-news:
	case <-time.After(2 * time.Minute):
		t.Fatal("nobody is told of new rules")
	}
	told, news = p.rules()
	want := &permitpb.RulesResponse{Rules: []*permitpb.Rules{{
		Unitization: "users", Shards: 100, Header: "x-user-id", Function: permitpb.KeyFunction_KEY_FUNCTION_LAST_DIGITS,
		SkipDigits: 1, Overrides: map[string]uint32{"42": 7},
		Services: []*permitpb.Service{{Name: "orders", Reads: []string{"/shop.Orders/*"}}},
	}}}
	if !proto.Equal(told, want) {
		t.Errorf("rules: %v", told)
	}
	commit(owned(t, 2, modelpb.RangeState_RANGE_STATE_FROZEN))
	guarded := strings.Replace(users, `"shards":100,`, `"shards":100,"guard":true,`, 1)
	commit(feed.Change{Kind: "Unitization", Key: "users", Value: []byte(guarded)})
	p.rules() // when it returns, the step that showed the commit is over
	select {
	case <-news:
		t.Error("told of rules that are the same")
	default:
	}
	commit(feed.Change{Kind: "Unitization", Key: "users"}, feed.Change{Kind: model.KindOwnership, Key: "users"})
	<-news
	if told, _ := p.rules(); len(told.GetRules()) != 0 {
		t.Errorf("rules of what is gone: %v", told)
	}
}

func TestAServiceThatRefusesIsAProblem(t *testing.T) {
	h := newHeld(t)
	h.orders(t, "hz-a-vm", 1)
	p, resources := run(t, h)
	eventually(t, "1", func() string { return ports(t, resources) })
	if _, err := intentLog(t, h).Commit(feed.Change{Kind: "Unitization", Key: "users", Value: []byte(users)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, `[service orders: every call is refused: unitization "users" has no ownership map]`, func() string {
		var s Status
		p.report(&s)
		return fmt.Sprint(s.Problems)
	})
}
