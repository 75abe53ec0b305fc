package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/unitization/fence"
)

const (
	cluster = "vm-hz-a"
	soon    = 2 * time.Minute
)

var quiet = slog.New(slog.DiscardHandler)

// server serves an intent feed that a test writes.
type server struct {
	t      *testing.T
	intent *feed.Log
	peer   feed.Peer
}

func newServer(t *testing.T) *server {
	set, err := feed.OpenSet("", feed.Options{})
	check(t, err)
	allow := func(context.Context, feed.ID) error { return nil }
	service, err := feed.NewService(feed.ServiceConfig{Set: set, Authorize: allow, AuthorizeRead: allow})
	check(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	g := grpc.NewServer(feed.ServerOptions()...)
	feedpb.RegisterFeedsServer(g, service)
	go g.Serve(listener)
	t.Cleanup(g.Stop)
	s := &server{t: t, intent: set.Log(feed.IntentID), peer: feed.Peer{Name: "hz-a", Address: listener.Addr().String()}}
	_, err = s.intent.Begin(1, nil)
	check(t, err)
	return s
}

func (s *server) store(name string, members ...v1alpha1.StoreMember) {
	value, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"name": name}, "spec": v1alpha1.StoreSpec{Members: members, Primary: "hz-a"},
	})
	check(s.t, err)
	_, err = s.intent.Commit(feed.Change{Kind: kindStore, Key: name, Value: value})
	check(s.t, err)
}

func (s *server) order(o *modelpb.StoreOrder) {
	value, err := model.Encode(o)
	check(s.t, err)
	_, err = s.intent.Commit(feed.Change{Kind: model.KindStoreOrder, Key: o.GetStore(), Value: value})
	check(s.t, err)
}

// stand is a member of a store that obeys.
type stand struct {
	mu    sync.Mutex
	state fence.State
	calls []string
	hang  bool
}

func (m *stand) call(ctx context.Context, a fence.Action, r fence.Request) (fence.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, fmt.Sprint(a, " ", r.Token))
	if m.hang {
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		return fence.State{}, ctx.Err()
	}
	if a == fence.Status {
		return m.state, nil
	}
	if r.Token < m.state.Token {
		return m.state, fence.ErrLowerToken
	}
	m.state.Token, m.state.Open = r.Token, a == fence.Open || a == fence.Unfence
	m.state.Primary = m.state.Open || a == fence.Promote
	return m.state, nil
}

func (m *stand) Fence(c context.Context, r fence.Request) (fence.State, error) {
	return m.call(c, fence.Fence, r)
}
func (m *stand) Open(c context.Context, r fence.Request) (fence.State, error) {
	return m.call(c, fence.Open, r)
}
func (m *stand) CatchUp(c context.Context, r fence.Request) (fence.State, error) {
	return m.call(c, fence.CatchUp, r)
}
func (m *stand) Promote(c context.Context, r fence.Request) (fence.State, error) {
	return m.call(c, fence.Promote, r)
}
func (m *stand) Unfence(c context.Context, r fence.Request) (fence.State, error) {
	return m.call(c, fence.Unfence, r)
}
func (m *stand) Status(c context.Context, r fence.Request) (fence.State, error) {
	return m.call(c, fence.Status, r)
}

func (m *stand) called() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// agent is Orders with what they report.
type agent struct {
	*Orders
	mu      sync.Mutex
	reports map[string]*modelpb.StoreReport
	refuse  bool
	stop    func()
}

func newAgent(t *testing.T, s *server, m *stand) *agent {
	a := &agent{reports: map[string]*modelpb.StoreReport{}}
	var err error
	a.Orders, err = New(Config{
		Cluster: cluster, Servers: []feed.Peer{s.peer}, Log: quiet, Heartbeat: 50 * time.Millisecond,
		Driver: func(v1alpha1.StoreMember) (fence.Driver, error) { return m, nil },
		Report: func(store string, r *modelpb.StoreReport) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.refuse {
				return errors.New("not yet")
			}
			a.reports[store] = r
			return nil
		},
	})
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	a.stop = sync.OnceFunc(func() { cancel(); check(t, <-done) })
	t.Cleanup(a.stop)
	return a
}

func (a *agent) report(store string) *modelpb.StoreReport {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reports[store]
}

func declared(center, cluster string) v1alpha1.StoreMember {
	return v1alpha1.StoreMember{
		Center: center, Cluster: cluster, Webhook: &v1alpha1.WebhookDriver{
			URL: "http://127.0.0.1:1/", Timeout: &metav1.Duration{Duration: time.Minute},
		},
	}
}

func ordered(action modelpb.StoreAction, member string, token uint64, step uint32) *modelpb.StoreOrder {
	return &modelpb.StoreOrder{
		Store: "orders-rz01", Action: action, Member: member, Token: token,
		Switchover: "out", SwitchoverUid: "u-1", Step: step,
	}
}

func TestOrdersForOwnMembersAreObeyedAndReported(t *testing.T) {
	s, m := newServer(t), &stand{}
	a := newAgent(t, s, m)
	s.store("orders-rz01", declared("hz-a", cluster), declared("sh-a", "vm-sh-a"))
	s.store("orders-rz02", declared("sh-a", "vm-sh-a"))
	eventually(t, "report before any order", func() bool { return a.report("orders-rz01") != nil })
	began := time.Now()
	s.order(ordered(modelpb.StoreAction_STORE_ACTION_FENCE, "", 7, 1))
	eventually(t, "fence", func() bool { return a.report("orders-rz01").GetStep() == 1 })
	t.Logf("from the commit of an order to its report: %s", time.Since(began))
	if r := a.report("orders-rz01"); r.GetToken() != 7 || r.GetMember() != "hz-a" || r.GetSwitchoverUid() != "u-1" ||
		r.GetAction() != modelpb.StoreAction_STORE_ACTION_FENCE || r.GetError() != "" {
		t.Errorf("report %v", r)
	}
	s.order(ordered(modelpb.StoreAction_STORE_ACTION_PROMOTE, "sh-a", 8, 3)) // another member's
	s.order(ordered(modelpb.StoreAction_STORE_ACTION_OPEN, "hz-a", 9, 4))
	eventually(t, "open", func() bool { return a.report("orders-rz01").GetStep() == 4 })
	if slices.Contains(m.called(), "Promote 8") {
		t.Errorf("another member's order was obeyed: %v", m.called())
	}
	if a.report("orders-rz02") != nil {
		t.Error("a store without a member here is reported")
	}
	if st := a.Status(); len(st.Members) != 1 || st.Members[0].Report.Step != 4 || !st.Members[0].Concerned {
		t.Errorf("status %+v", st)
	}
	s.store("orders-rz01", declared("hz-a", "another-cluster"))
	eventually(t, "withdrawal", func() bool { return a.report("orders-rz01") == nil })
}

func TestARestartedAgentReportsAgainWithoutActing(t *testing.T) {
	s, m := newServer(t), &stand{}
	s.store("orders-rz01", declared("hz-a", cluster))
	s.order(ordered(modelpb.StoreAction_STORE_ACTION_FENCE, "", 7, 1))
	first := newAgent(t, s, m)
	eventually(t, "fence", func() bool { return first.report("orders-rz01").GetStep() == 1 })
	first.stop()
	before := len(m.called())
	second := newAgent(t, s, m)
	eventually(t, "report", func() bool { return second.report("orders-rz01").GetStep() == 1 })
	for _, call := range m.called()[before:] {
		if call != "Status 7" {
			t.Errorf("after its restart the agent called %s", call)
		}
	}
}

func TestAMemberThatHangsIsReportedAndSupersededByTheNextOrder(t *testing.T) {
	s, m := newServer(t), &stand{hang: true}
	a := newAgent(t, s, m)
	slow := declared("hz-a", cluster)
	slow.Webhook.Timeout.Duration = 50 * time.Millisecond
	s.store("orders-rz01", slow)
	s.order(ordered(modelpb.StoreAction_STORE_ACTION_FENCE, "", 7, 1))
	eventually(t, "error", func() bool { return a.report("orders-rz01").GetError() != "" })
	m.mu.Lock()
	m.hang = false
	m.mu.Unlock()
	s.order(ordered(modelpb.StoreAction_STORE_ACTION_FENCE, "", 9, 1))
	eventually(t, "fence", func() bool { r := a.report("orders-rz01"); return r.GetToken() == 9 && r.GetError() == "" })
}

func TestAReportThatIsNotTakenIsWrittenAgain(t *testing.T) {
	s, m := newServer(t), &stand{}
	a := newAgent(t, s, m)
	a.mu.Lock()
	a.refuse = true
	a.mu.Unlock()
	s.store("orders-rz01", declared("hz-a", cluster))
	eventually(t, "call", func() bool { return len(m.called()) > 0 })
	time.Sleep(20 * time.Millisecond)
	a.mu.Lock()
	a.refuse = false
	a.mu.Unlock()
	eventually(t, "report", func() bool { return a.report("orders-rz01") != nil })
}

func TestRecordsThatCannotBeUsedAreNamedAndObeyedByNobody(t *testing.T) {
	s, m := newServer(t), &stand{}
	a := newAgent(t, s, m)
	s.store("orders-rz01", declared("hz-a", cluster))
	_, err := s.intent.Commit(feed.Change{Kind: model.KindStoreOrder, Key: "orders-rz01", Value: []byte("garbage")})
	check(t, err)
	eventually(t, "problem", func() bool { return len(a.Status().Problems) == 1 })
	s.order(ordered(modelpb.StoreAction_STORE_ACTION_FENCE, "", 7, 1))
	eventually(t, "fence", func() bool { return a.report("orders-rz01").GetStep() == 1 && len(a.Status().Problems) == 0 })
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %s", what, soon)
		}
	}
}
