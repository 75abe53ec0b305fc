package intent

import (
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// entry is one command being carried out on a copy of the state. Nobody sees the copy until it is published whole.
type entry struct {
	f *FSM
	// before is the ownership that the command finds.
	before switchover.State
	state  state
	// at is the proposer's clock.
	at time.Time
	// events are the changed objects, each with a revision of its own, in the order of revisions.
	events []Event
	// reports are those of stores that the command brought.
	reports []switchover.StoreReported
	// owned says that the entry changed the ownership state, also where no object shows it: a session, an
	// acknowledgement.
	owned bool
	// membersMoved says that the entry changed servers, tokens or the level.
	membersMoved bool
	// held is what a SetLiveness says of withdrawals that are held back; nil: there are none.
	held *intentpb.Held
	// shows are further objects whose status the entry changed.
	shows []*Object
}

// execute carries a command out. What it does to the state only stays when the result is OK.
func (e *entry) execute(command *intentpb.Command) Result {
	if err := e.state.members.allowed(command); err != nil && !e.f.config.broken.has(brokenLevelGate) {
		return e.refuse(field.ErrorList{field.Forbidden(field.NewPath("kind"), err.Error())})
	}
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_Create:
		return e.create(o.Create)
	case *intentpb.Command_Update:
		return e.update(o.Update)
	case *intentpb.Command_Delete:
		return e.delete(o.Delete)
	}
	return e.transition(command)
}

func (e *entry) create(c *intentpb.Create) Result {
	if current, ok := e.state.get(c.GetKind(), c.GetName()); ok {
		return e.lost(current)
	}
	object, errs := e.f.judge(&e.state, c.GetKind(), c.GetName(), c.GetValue(), nil)
	if len(errs) == 0 {
		errs = e.declare(object, nil)
	}
	return e.settle(errs, object, nil)
}

func (e *entry) update(u *intentpb.Update) Result {
	current, ok := e.state.get(u.GetKind(), u.GetName())
	if !ok || current.Revision != u.GetExpectRevision() {
		return e.lost(current)
	}
	object, errs := e.f.judge(&e.state, u.GetKind(), u.GetName(), u.GetValue(), current)
	if len(errs) == 0 {
		errs = e.declare(object, current)
	}
	return e.settle(errs, object, current)
}

func (e *entry) delete(d *intentpb.Delete) Result {
	current, ok := e.state.get(d.GetKind(), d.GetName())
	if !ok || current.Revision != d.GetExpectRevision() ||
		d.GetUid() != "" && current.decoded != nil && string(current.decoded.GetUID()) != d.GetUid() {
		return e.lost(current)
	}
	errs := e.f.judgeDelete(&e.state, current)
	if len(errs) == 0 {
		errs = e.retire(current)
	}
	return e.settle(errs, nil, current)
}

// lost is the answer to a lost race.
func (e *entry) lost(current *Object) Result {
	return Result{Revision: e.state.revision, Current: current}
}

// refuse is the answer to what may not be: the ownership is as it was.
func (e *entry) refuse(errs field.ErrorList) Result {
	e.state.ownership, e.state.expiries = e.before, e.f.state.expiries
	return Result{Revision: e.state.revision, Refused: refusals(errs)}
}

// settle ends a command: first the objects that the new ownership shows in, then the subject, so that the command's
// result is the last revision. Object is nil for a deletion, prev for a creation, both for a command about none.
func (e *entry) settle(errs field.ErrorList, object, prev *Object) Result {
	if len(errs) > 0 {
		return e.refuse(errs)
	}
	shown, errs := e.show(object, prev)
	if len(errs) > 0 {
		return e.refuse(errs)
	}
	e.owned = !sameOwnership(e.before, e.state.ownership)
	for _, o := range append(shown, e.shows...) {
		was, _ := e.state.get(o.Kind, o.Name)
		e.put(o, was, true)
	}
	switch {
	case object != nil:
		e.put(object, prev, false)
	case prev != nil:
		e.remove(prev)
	}
	if (e.owned || e.membersMoved) && len(e.events) == 0 && !e.f.config.broken.has(brokenSilentSessions) {
		e.step() // nothing that an object shows, but who waits for this revision has it
	}
	result := Result{OK: true, Revision: e.state.revision}
	if object != nil && ownsStatus(object.Kind) {
		result.Current = object
	}
	return result
}

// step is the revision of one more changed object. (A counter that overflows, after two thousand million changes, runs
// on into the bits of the incarnation, which keeps the revision growing; the next incarnation is taken above it.)
func (e *entry) step() uint64 {
	s := &e.state
	if e.f.config.broken.has(brokenOneRevision) && len(e.events) > 0 {
		return s.revision
	}
	s.revision++
	if e.f.config.broken.has(brokenRevisionIsIndex) {
		s.revision = s.incarnation<<revisionBits + s.applied
	}
	return s.revision
}

func (e *entry) put(object, prev *Object, statusOnly bool) {
	object.Revision = e.step()
	object.Created = object.Revision
	if prev != nil {
		object.Created = prev.Created
	}
	e.state.objects = e.state.with(object)
	e.events = append(e.events, Event{
		Revision: object.Revision, Kind: object.Kind, Name: object.Name, Object: object, Prev: prev,
		after: e.state.objects, statusOnly: statusOnly,
	})
}

func (e *entry) remove(prev *Object) {
	revision := e.step()
	before := e.state.expiries
	e.state.objects = e.state.without(prev)
	if e.f.config.broken.has(brokenExpiryStays) {
		e.state.expiries = before
	}
	e.events = append(e.events, Event{
		Revision: revision, Kind: prev.Kind, Name: prev.Name, Prev: prev, after: e.state.objects,
	})
}
