package intent

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"pentad.dev/pentad/federation/intent/intentpb"
)

const (
	// MaxBatch bounds the acknowledgements, or the reports, of one command: the rest goes into the next one.
	MaxBatch = 4096
	// MaxText bounds each text in a typed command, in bytes.
	MaxText = 4 << 10
)

// checkOperation checks the form of an operation: what no proposer of this version writes. Whether it may be carried
// out is for the state to say.
func checkOperation(command *intentpb.Command) error {
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_Create:
		return errors.Join(checkSubject(o.Create), checkValue(o.Create.GetValue()))
	case *intentpb.Command_Update:
		return errors.Join(checkSubject(o.Update), checkValue(o.Update.GetValue()),
			positive("expect_revision", o.Update.GetExpectRevision(), "the revision of the object that is replaced"))
	case *intentpb.Command_Delete:
		return errors.Join(checkSubject(o.Delete),
			positive("expect_revision", o.Delete.GetExpectRevision(), "the revision of the object that is deleted"))
	}
	return checkTransition(command)
}

// checkTransition is checkOperation for typed commands.
func checkTransition(command *intentpb.Command) error {
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_Approve:
		return errors.Join(checkSwitchover(o.Approve),
			bounded("plan_hash", o.Approve.GetPlanHash()), bounded("approver", o.Approve.GetApprover()))
	case *intentpb.Command_Abort:
		return errors.Join(checkSwitchover(o.Abort), bounded("reason", o.Abort.GetReason()))
	case *intentpb.Command_Freeze:
		return checkSwitchover(o.Freeze)
	case *intentpb.Command_AckFreeze:
		return checkAcks(o.AckFreeze.GetAcks())
	case *intentpb.Command_WaitedOut:
		return errors.Join(checkSwitchover(o.WaitedOut), positive("freeze", o.WaitedOut.GetFreeze(), "an epoch"),
			positive("term", o.WaitedOut.GetTerm(), "the proposer's term"))
	case *intentpb.Command_StoreReports:
		return checkReports(o.StoreReports.GetReports())
	case *intentpb.Command_Commit:
		return checkSwitchover(o.Commit)
	case *intentpb.Command_Converged:
		return errors.Join(checkSwitchover(o.Converged), bounded("message", o.Converged.GetMessage()))
	case *intentpb.Command_OpenSession:
		return checkSession(o.OpenSession.GetSession())
	case *intentpb.Command_CloseSession:
		return checkID("id", o.CloseSession.GetId())
	case *intentpb.Command_RemoveSession:
		return errors.Join(checkID("id", o.RemoveSession.GetId()),
			positive("term", o.RemoveSession.GetTerm(), "the proposer's term"))
	case *intentpb.Command_Reconcile:
		return checkReconcile(o.Reconcile)
	}
	if o, ok := command.GetOperation().(*intentpb.Command_SetLiveness); ok {
		return checkLiveness(o.SetLiveness)
	}
	return checkMember(command)
}

func checkSubject(o interface {
	GetKind() string
	GetName() string
}) error {
	if o.GetKind() == "" {
		return errors.New("kind: must be set")
	}
	return named("name", o.GetName())
}

func checkValue(value []byte) error {
	if len(value) == 0 || len(value) > MaxValue {
		return fmt.Errorf("value of %d bytes: must have 1 to %d", len(value), MaxValue)
	}
	return nil
}

func checkSwitchover(o interface {
	GetSwitchover() string
	GetUid() string
}) error {
	return errors.Join(named("switchover", o.GetSwitchover()), named("uid", o.GetUid()))
}

func checkAcks(acks []*intentpb.FreezeAck) error {
	if err := checkBatch("acks", len(acks)); err != nil {
		return err
	}
	for i, ack := range acks {
		at := fmt.Sprintf("acks[%d].", i)
		err := errors.Join(checkID(at+"session", ack.GetSession()), positive(at+"freeze", ack.GetFreeze(), "an epoch"))
		if err != nil {
			return err
		}
	}
	return nil
}

func checkReports(reports []*intentpb.StoreReport) error {
	if err := checkBatch("reports", len(reports)); err != nil {
		return err
	}
	for i, r := range reports {
		at := fmt.Sprintf("reports[%d].", i)
		err := errors.Join(named(at+"store", r.GetStore()), named(at+"member", r.GetMember()),
			named(at+"switchover_uid", r.GetSwitchoverUid()), positive(at+"step", uint64(r.GetStep()), "an order's step"))
		if err != nil {
			return err
		}
	}
	return nil
}

func checkSession(s *intentpb.Session) error {
	if s.GetClosed() {
		return errors.New("session.closed true: must not be set: a session is opened")
	}
	if h := s.GetHolder(); h != intentpb.Holder_HOLDER_RELAY && h != intentpb.Holder_HOLDER_AGENT {
		return fmt.Errorf("session.holder %s: must be a relay or an agent", h)
	}
	return errors.Join(checkID("session.id", s.GetId()), named("session.name", s.GetName()),
		named("session.cluster", s.GetCluster()), named("session.center", s.GetCenter()))
}

func checkBatch(name string, n int) error {
	if n < 1 || n > MaxBatch {
		return fmt.Errorf("%s: %d of them: must be 1 to %d", name, n, MaxBatch)
	}
	return nil
}

// checkID holds a session's id to a UUID in its one spelling.
func checkID(name, id string) error {
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return fmt.Errorf("%s %.64q: must be a UUID", name, id)
	}
	return nil
}

func named(name, value string) error {
	if value == "" || len(value) > MaxName {
		return fmt.Errorf("%s %.64q: must have 1 to %d bytes", name, value, MaxName)
	}
	return nil
}

func bounded(name, value string) error {
	if len(value) > MaxText {
		return fmt.Errorf("%s of %d bytes: must have at most %d", name, len(value), MaxText)
	}
	return nil
}

func positive(name string, value uint64, what string) error {
	if value == 0 {
		return fmt.Errorf("%s 0: must be %s", name, what)
	}
	return nil
}

// subject is the kind and the name that a command on an object is about; empty for a typed command.
func subject(command *intentpb.Command) (kind, name string) {
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_Create:
		return o.Create.GetKind(), o.Create.GetName()
	case *intentpb.Command_Update:
		return o.Update.GetKind(), o.Update.GetName()
	case *intentpb.Command_Delete:
		return o.Delete.GetKind(), o.Delete.GetName()
	}
	return "", ""
}
