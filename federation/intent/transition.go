package intent

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// transition carries out a typed command: a transition of the domain with preconditions over several objects, which no
// Put could check (rule 9). Its result has the switchover as it is then, where it is about one.
func (e *entry) transition(command *intentpb.Command) Result {
	errs := e.decide(command)
	if command.GetSetLiveness() != nil && len(errs) == 0 {
		e.shows = e.showLiveness()
	}
	result := e.settle(errs, nil, nil)
	if name := switchoverOf(command); result.OK && name != "" {
		result.Current, _ = e.state.get(v1alpha1.KindSwitchover, name)
	}
	return result
}

// decide turns a typed command into events.
func (e *entry) decide(command *intentpb.Command) field.ErrorList {
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_Approve:
		return e.approve(o.Approve)
	case *intentpb.Command_Abort:
		return e.advance(switchover.Abort{
			Name: o.Abort.GetSwitchover(), UID: o.Abort.GetUid(), Reason: o.Abort.GetReason(),
		})
	case *intentpb.Command_Freeze:
		return e.advance(switchover.Freeze{Name: o.Freeze.GetSwitchover(), UID: o.Freeze.GetUid()})
	case *intentpb.Command_AckFreeze:
		return e.ackFreeze(o.AckFreeze)
	case *intentpb.Command_WaitedOut:
		return e.advance(switchover.WaitedOut{
			Name: o.WaitedOut.GetSwitchover(), UID: o.WaitedOut.GetUid(), Freeze: o.WaitedOut.GetFreeze(),
		})
	case *intentpb.Command_StoreReports:
		return e.storeReports(o.StoreReports)
	case *intentpb.Command_Commit:
		return e.advance(switchover.Commit{Name: o.Commit.GetSwitchover(), UID: o.Commit.GetUid()})
	case *intentpb.Command_Converged:
		return e.advance(switchover.Converged{
			Name: o.Converged.GetSwitchover(), UID: o.Converged.GetUid(), Message: o.Converged.GetMessage(),
		})
	case *intentpb.Command_OpenSession:
		return e.openSession(o.OpenSession.GetSession())
	case *intentpb.Command_CloseSession:
		return e.advance(switchover.CloseSession{ID: o.CloseSession.GetId()})
	case *intentpb.Command_RemoveSession:
		return e.advance(switchover.RemoveSession{ID: o.RemoveSession.GetId()})
	case *intentpb.Command_Reconcile:
		return e.reconcile(o.Reconcile)
	}
	if o, ok := command.GetOperation().(*intentpb.Command_SetLiveness); ok {
		return e.setLiveness(o.SetLiveness)
	}
	return e.member(command)
}

// approve makes the plan again from the present state. The machine compares: the approver must have seen what will
// happen (rule 22 of ownership).
func (e *entry) approve(a *intentpb.Approve) field.ErrorList {
	o, ok := find[*v1alpha1.Switchover](e.state.objects, v1alpha1.KindSwitchover, a.GetSwitchover())
	if !ok {
		return field.ErrorList{notFound(field.NewPath("metadata", "name"), a.GetSwitchover(), "there is no such switchover")}
	}
	if errs := e.validateDeadline(o); len(errs) > 0 {
		return errs
	}
	var plan switchover.Plan
	s := e.state.ownership.Switchovers[o.Name]
	if s != nil && (s.Phase != switchover.PhasePlanned || e.f.config.broken.has(brokenStalePlan)) {
		plan = s.Plan // it is approved already, or has ended: the machine says so
	} else {
		var problems []switchover.Problem
		plan, problems = switchover.MakePlan(world(e.state.objects), e.state.ownership, request(o))
		if len(problems) > 0 {
			return fieldErrors(problems)
		}
	}
	return e.advance(switchover.Approve{
		Name: o.Name, UID: a.GetUid(), Hash: a.GetPlanHash(), Approver: a.GetApprover(), Plan: plan,
	})
}

func (e *entry) ackFreeze(a *intentpb.AckFreeze) field.ErrorList {
	acks := make([]switchover.AckFreeze, 0, len(a.GetAcks()))
	for _, ack := range a.GetAcks() {
		acks = append(acks, switchover.AckFreeze{Session: ack.GetSession(), Freeze: ack.GetFreeze()})
	}
	return e.advance(switchover.AckFreezes{Acks: acks})
}

func (e *entry) storeReports(r *intentpb.StoreReports) field.ErrorList {
	for i, report := range r.GetReports() {
		event := switchover.StoreReported{
			Store: report.GetStore(), Member: report.GetMember(), UID: report.GetSwitchoverUid(),
			Report: switchover.Report{
				Step: int(report.GetStep()), Token: report.GetToken(),
				Position: switchover.Position{Epoch: report.GetPositionEpoch(), Index: report.GetPositionIndex()},
				Primary:  report.GetPrimary(), Before: report.GetBefore(),
			},
		}
		e.reports = append(e.reports, event)
		if errs := e.advance(event); len(errs) > 0 {
			return within("reports", i, errs)
		}
	}
	return nil
}

// within puts the place in a batch before the fields of errors.
func within(batch string, i int, errs field.ErrorList) field.ErrorList {
	for _, err := range errs {
		err.Field = field.NewPath(batch).Index(i).String() + "." + err.Field
	}
	return errs
}

// openSession holds a session's place to what is declared: whom a freeze waits for follows from the center (rule 4 of
// ownership).
func (e *entry) openSession(m *intentpb.Session) field.ErrorList {
	path := field.NewPath("session")
	cluster, ok := find[*v1alpha1.Cluster](e.state.objects, v1alpha1.KindCluster, m.GetCluster())
	if !ok {
		return field.ErrorList{notFound(path.Child("cluster"), m.GetCluster(), "must be the name of a declared Cluster")}
	}
	if center := cluster.Spec.Center; center != m.GetCenter() {
		return field.ErrorList{field.Invalid(path.Child("center"), m.GetCenter(),
			fmt.Sprintf("must be %q, the center of cluster %q", center, cluster.Name))}
	}
	s := switchover.Session{
		ID: m.GetId(), Name: m.GetName(), Cluster: m.GetCluster(), Center: m.GetCenter(), Holder: switchover.Relay,
	}
	if m.GetHolder() == intentpb.Holder_HOLDER_AGENT {
		s.Holder = switchover.Agent
	}
	return e.advance(switchover.OpenSession{Session: s})
}

func notFound(path *field.Path, value, want string) *field.Error {
	err := field.NotFound(path, value)
	err.Detail = want
	return err
}

// switchoverOf is the switchover that a typed command is about; empty when it is about none, or about several.
func switchoverOf(command *intentpb.Command) string {
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_Approve:
		return o.Approve.GetSwitchover()
	case *intentpb.Command_Abort:
		return o.Abort.GetSwitchover()
	case *intentpb.Command_Freeze:
		return o.Freeze.GetSwitchover()
	case *intentpb.Command_WaitedOut:
		return o.WaitedOut.GetSwitchover()
	case *intentpb.Command_Commit:
		return o.Commit.GetSwitchover()
	case *intentpb.Command_Converged:
		return o.Converged.GetSwitchover()
	}
	return ""
}

func proposedAt(command *intentpb.Command) time.Time {
	return time.UnixMilli(command.GetProposedAtUnixMs()).UTC()
}
