package intent

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// unitCommand is a random command on an estate with units, which it first declares. Most bring a switchover on, as
// controller, relays and agents would; some are late, wrong, or somebody else's.
func (w *traffic) unitCommand(view View) *intentpb.Command {
	if o := w.missing(view); o != nil && !chance(w.rnd, 5) {
		w.fresh(o, view.Lookup())
		return w.creation(v1alpha1.KindOf(o), o.GetName(), toJSON(o))
	}
	if c := w.takeOver(view); c != nil && chance(w.rnd, 2) {
		return c
	}
	switch n := w.rnd.IntN(20); {
	case n < 8:
		return w.goOn(view)
	case n < 11:
		return w.moveSomething(view)
	case n < 13:
		return w.aSession(view.Ownership())
	case n < 15:
		return w.stray(view.Ownership())
	case n < 16:
		return w.removeSomething(view)
	default:
		return w.reapply(view)
	}
}

// missing is the first object of the estate that is not declared.
func (w *traffic) missing(view View) v1alpha1.Object {
	for _, o := range unitObjects() {
		if _, ok := view.Get(v1alpha1.KindOf(o), o.GetName()); !ok {
			return o
		}
	}
	return nil
}

// goOn brings some switchover a step further.
func (w *traffic) goOn(view View) *intentpb.Command {
	s := view.Ownership()
	var running []*switchover.Switchover
	for _, name := range sortedNames(s.Switchovers) {
		if sw := s.Switchovers[name]; !sw.Phase.Ended() {
			running = append(running, sw)
		}
	}
	if len(running) == 0 {
		return w.moveSomething(view)
	}
	c := w.next(s, running[w.rnd.IntN(len(running))])
	if err := checkCommand(c); err != nil { // a batch of nothing
		return w.aSession(s)
	}
	if a := c.GetApprove(); a != nil && chance(w.rnd, 8) {
		c.ProposedAtUnixMs += 2 * 3600 * 1000
	}
	return c
}

func (w *traffic) moveSomething(view View) *intentpb.Command {
	s := moving(fmt.Sprintf("s%d", w.rnd.IntN(5)), v1alpha1.SwitchoverSpec{Mode: v1alpha1.SwitchoverPlanned})
	switch w.rnd.IntN(6) {
	case 0:
		s.Spec.ReturnToBaseline = true
	case 1:
		s.Spec.Evacuate = &v1alpha1.Evacuation{Center: places[w.rnd.IntN(len(places))].center}
	case 2:
		s.Spec.Moves = []v1alpha1.Move{{Unitization: "users", Unit: "rz01", ToCenters: []string{"sh-a"}}}
	case 3:
		s.Spec.Moves = []v1alpha1.Move{{Unitization: "shared", Unit: "gz", ToCenters: []string{"sh-b"}}}
	default:
		s.Spec.Evacuate = &v1alpha1.Evacuation{Region: places[w.rnd.IntN(len(places))].region}
	}
	if chance(w.rnd, 3) {
		s.Spec.Mode = v1alpha1.SwitchoverDisaster
		if chance(w.rnd, 2) {
			s.Spec.OldPrimaries = []v1alpha1.OldPrimary{{Store: "orders-rz01", Fact: v1alpha1.OldPrimaryBreakGlass}}
		}
	}
	if chance(w.rnd, 4) {
		s.Spec.Deadline = &metav1.Time{Time: at(epoch + int64(w.rnd.IntN(2))).Time}
	}
	w.fresh(s, view.Lookup())
	if chance(w.rnd, 10) {
		s.Status.Phase = v1alpha1.PhaseDone
	}
	return w.creation(v1alpha1.KindSwitchover, s.Name, toJSON(s))
}

// takeOver declares a Disaster that supersedes a switchover which is past its commit, or approves that one; nil when
// there is nothing to take over.
func (w *traffic) takeOver(view View) *intentpb.Command {
	s := view.Ownership()
	if sw := s.Switchovers["takeover"]; sw != nil {
		if sw.Phase == switchover.PhasePlanned {
			return w.next(s, sw)
		}
		return nil
	}
	for _, name := range sortedNames(s.Switchovers) {
		sw := s.Switchovers[name]
		if sw.Phase != switchover.PhaseCommitted {
			continue
		}
		for _, p := range places {
			if p.center == sw.Plan.Stores[0].Target {
				o := w.fresh(disaster("takeover", p.region), view.Lookup())
				o.(*v1alpha1.Switchover).Spec.Supersedes = name
				return w.creation(v1alpha1.KindSwitchover, "takeover", toJSON(o))
			}
		}
	}
	return nil
}

// sessionID is one of few.
func (w *traffic) sessionID() string {
	n := w.rnd.IntN(8)
	return uuid.NewSHA1(uuid.Nil, []byte{byte(n)}).String()
}

func (w *traffic) aSession(s switchover.State) *intentpb.Command {
	id := w.sessionID()
	if have := s.Sessions[id]; have != nil && chance(w.rnd, 2) {
		if have.Closed {
			return w.transition(&intentpb.RemoveSession{Id: id, Term: 3})
		}
		return w.transition(&intentpb.CloseSession{Id: id})
	}
	c := session(id, places[w.rnd.IntN(len(places))].center)
	if chance(w.rnd, 4) {
		c.Session.Holder = intentpb.Holder_HOLDER_AGENT
	}
	return w.transition(c)
}

// stray is a typed command without regard to how things are.
func (w *traffic) stray(s switchover.State) *intentpb.Command {
	name, uid, freeze, hash := fmt.Sprintf("s%d", w.rnd.IntN(5)), "another", s.Epoch, "0123"
	if sw := s.Switchovers[name]; sw != nil {
		freeze = sw.Freeze + 1
		if !chance(w.rnd, 4) {
			uid, freeze, hash = sw.UID, max(1, sw.Freeze), sw.Hash
		}
	}
	switch w.rnd.IntN(10) {
	case 0:
		return w.transition(&intentpb.Approve{Switchover: name, Uid: uid, PlanHash: hash, Approver: "bob"})
	case 1:
		return w.transition(&intentpb.Freeze{Switchover: name, Uid: uid})
	case 2:
		return w.transition(&intentpb.WaitedOut{Switchover: name, Uid: uid, Freeze: freeze, Term: 2})
	case 3:
		return w.transition(&intentpb.Commit{Switchover: name, Uid: uid})
	case 4:
		return w.transition(&intentpb.Converged{Switchover: name, Uid: uid, Message: "so I think"})
	case 5:
		return w.transition(acks(freeze, w.sessionID(), w.sessionID()))
	case 6:
		return w.transition(&intentpb.StoreReports{Reports: []*intentpb.StoreReport{{
			Store: "orders-rz01", Member: "sh-a", SwitchoverUid: uid, Step: uint32(1 + w.rnd.IntN(4)), Token: freeze,
			PositionIndex: uint64(w.rnd.IntN(5)),
		}}})
	}
	return w.transition(&intentpb.Abort{Switchover: name, Uid: uid, Reason: "not today"})
}

func (w *traffic) removeSomething(view View) *intentpb.Command {
	kind, name := v1alpha1.KindSwitchover, []string{"s0", "s1", "s2", "s3", "s4", "takeover"}[w.rnd.IntN(6)]
	if chance(w.rnd, 4) {
		kind, name = v1alpha1.KindUnitization, "shared"
	} else if chance(w.rnd, 6) {
		kind, name = v1alpha1.KindStore, "orders-rz02"
	}
	expect := uint64(1)
	if stored, ok := view.Get(kind, name); ok {
		expect = stored.Revision
	}
	return w.deletion(kind, name, expect)
}

// reapply proposes an object of the estate again, as GitOps does: as it is, with another label, permit or phase, now
// and then with a status of its own making.
func (w *traffic) reapply(view View) *intentpb.Command {
	objects := unitObjects()
	object := objects[w.rnd.IntN(len(objects))]
	if !chance(w.rnd, 3) {
		object = objects[len(objects)-1-w.rnd.IntN(4)]
	}
	kind, name := v1alpha1.KindOf(object), object.GetName()
	stored, ok := view.Get(kind, name)
	if !ok {
		w.fresh(object, view.Lookup())
		return w.creation(kind, name, toJSON(object))
	}
	old := typed(stored)
	next := old.DeepCopyObject().(v1alpha1.Object)
	switch o := next.(type) {
	case *v1alpha1.Unitization:
		if chance(w.rnd, 2) {
			o.Spec.Permit.Duration.Duration *= 2
		}
		if chance(w.rnd, 4) && len(o.Status.Ranges) > 0 {
			o.Status.Ranges[0].Cells = []string{o.Spec.Units[0].Name + ".sz-a"}
		}
	case *v1alpha1.Center:
		o.Spec.Phase = []v1alpha1.CenterPhase{v1alpha1.CenterOpen, v1alpha1.CenterClosed}[w.rnd.IntN(2)]
	case *v1alpha1.Store:
		o.Spec.HoldsPermit = !chance(w.rnd, 4)
		if chance(w.rnd, 6) {
			o.Status.Primary = "sz-a"
		}
	}
	if chance(w.rnd, 3) {
		next.SetLabels(map[string]string{"l": fmt.Sprint(w.rnd.IntN(3))})
	}
	prepare(next, old, view.Lookup())
	return w.replacement(kind, name, toJSON(next), stored.Revision)
}

func sortedNames[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
