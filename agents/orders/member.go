package orders

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/unitization/fence"
)

// retryReport is the pause before a report that was not taken is written again.
const retryReport = 50 * time.Millisecond

// actions are those of the records and of drivers.
var actions = map[modelpb.StoreAction]fence.Action{
	modelpb.StoreAction_STORE_ACTION_FENCE:    fence.Fence,
	modelpb.StoreAction_STORE_ACTION_CATCH_UP: fence.CatchUp,
	modelpb.StoreAction_STORE_ACTION_PROMOTE:  fence.Promote,
	modelpb.StoreAction_STORE_ACTION_OPEN:     fence.Open,
	modelpb.StoreAction_STORE_ACTION_UNFENCE:  fence.Unfence,
}

func orderOf(o *modelpb.StoreOrder) *fence.Order {
	if o == nil {
		return nil
	}
	return &fence.Order{
		Store: o.GetStore(), Action: actions[o.GetAction()], Member: o.GetMember(), Token: o.GetToken(),
		Switchover: o.GetSwitchover(), UID: o.GetSwitchoverUid(), Step: int(o.GetStep()),
		Position: fence.Position{Epoch: o.GetPosition().GetEpoch(), Index: o.GetPosition().GetIndex()},
	}
}

func reportOf(r fence.Report) *modelpb.StoreReport {
	message := &modelpb.StoreReport{
		Store: r.Store, Member: r.Member, SwitchoverUid: r.UID, Step: uint32(r.Step), Token: r.Token,
		Position: &modelpb.StorePosition{Epoch: r.Position.Epoch, Index: r.Position.Index}, Error: r.Error,
		Primary: r.Primary, Before: r.Before,
	}
	for theirs, ours := range actions {
		if r.Action == ours {
			message.Action = theirs
		}
	}
	return message
}

// member drives one member of a store: a fence.Runner with a clock, a goroutine and a driver.
type member struct {
	store  string
	spec   v1alpha1.StoreMember
	driver fence.Driver
	report func(string, *modelpb.StoreReport) error
	log    *slog.Logger
	began  time.Time
	cancel context.CancelFunc
	over   sync.WaitGroup
	wake   chan struct{}

	mu     sync.Mutex
	runner *fence.Runner
	order  *fence.Order // in force, for the status page
	said   *fence.Report
}

func (o *Orders) begin(ctx context.Context, store string, spec v1alpha1.StoreMember) (*member, error) {
	driver, err := o.cfg.Driver(spec)
	if err != nil {
		return nil, err
	}
	timeout := fence.DefaultTimeout
	if spec.Webhook != nil && spec.Webhook.Timeout != nil {
		timeout = spec.Webhook.Timeout.Duration
	}
	m := &member{
		store: store, spec: spec, driver: driver, report: o.cfg.Report, began: time.Now(), wake: make(chan struct{}, 1),
		log:    o.cfg.Log.With("store", store, "center", spec.Center),
		runner: fence.NewRunner(fence.RunnerConfig{Store: store, Member: spec.Center, Timeout: timeout}),
	}
	ctx, m.cancel = context.WithCancel(ctx)
	m.over.Go(func() { m.run(ctx) })
	return m, nil
}

// drives says whether the member is driven as it is declared.
func (m *member) drives(spec v1alpha1.StoreMember) bool { return reflect.DeepEqual(m.spec, spec) }

// end returns when no call is under way.
func (m *member) end() {
	m.cancel()
	m.over.Wait()
	if closing, ok := m.driver.(interface{ Close() }); ok {
		closing.Close()
	}
}

func (m *member) now() time.Duration { return time.Since(m.began) }

// ordered says which order is in force.
func (m *member) ordered(o *fence.Order) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o != nil && (m.order == nil || *o != *m.order) {
		m.log.Info("order", "action", o.Action.String(), "member", o.Member, "token", o.Token,
			"switchover", o.Switchover, "step", o.Step, "position", o.Position.String())
	}
	m.order = o
	m.runner.Ordered(o, m.now())
	m.poke()
}

func (m *member) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// run does what the runner says until ctx ends.
func (m *member) run(ctx context.Context) {
	cancel := context.CancelFunc(func() {})
	defer func() { cancel() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		m.mu.Lock()
		do := m.runner.Next(m.now())
		m.mu.Unlock()
		if do.Cancel {
			cancel()
		}
		if do.Call != nil {
			cancel = m.call(ctx, do.Call)
		}
		wait := do.Wait
		if !m.tell() {
			wait = min(wait, retryReport)
		}
		timer.Reset(max(wait, time.Millisecond))
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
	}
}

// call makes a call in a goroutine of its own, which ends with it.
func (m *member) call(ctx context.Context, call *fence.Attempt) context.CancelFunc {
	ctx, cancel := context.WithTimeout(ctx, call.Timeout)
	m.over.Go(func() {
		defer cancel()
		state, err := fence.Call(ctx, m.driver, call.Action, call.Request)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.runner.Answered(call.ID, state, err, m.now())
		m.poke()
	})
	return cancel
}

// tell writes the report when it says something new.
func (m *member) tell() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	report := m.runner.Report()
	if !m.runner.Known() || m.said != nil && *m.said == report {
		return true
	}
	if err := m.report(m.store, reportOf(report)); err != nil {
		m.log.Debug("report not written", "error", err)
		return false
	}
	switch {
	case report.Error != "" && (m.said == nil || m.said.Error != report.Error):
		m.log.Warn("order not obeyed yet", "error", report.Error)
	case m.said == nil || m.said.Step != report.Step || m.said.UID != report.UID:
		m.log.Info("order obeyed", "action", report.Action.String(), "token", report.Token,
			"step", report.Step, "position", report.Position.String())
	}
	m.said = &report
	return true
}

// status is what the status page says.
func (m *member) status() MemberStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := MemberStatus{Store: m.store, Member: m.spec.Center, Report: m.runner.Report()}
	if m.order != nil {
		s.Order = fmt.Sprintf("%s, step %d of switchover %s, token %d",
			m.order.Action, m.order.Step, m.order.Switchover, m.order.Token)
		s.Concerned = m.order.For(m.spec.Center)
	}
	return s
}
