package intent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/unitization/switchover"
)

// maxStored bounds an object's JSON with the status that the state machine writes into it, in bytes.
const maxStored = 4 << 20

// ownsStatus says that the status of a kind shows the ownership state: only the state machine writes it.
func ownsStatus(kind string) bool {
	return kind == v1alpha1.KindStore || kind == v1alpha1.KindUnitization || kind == v1alpha1.KindSwitchover
}

// show writes the new ownership into the status of the subject, and gives the other objects that it shows in, each as a
// new one, in the order stores, unitizations, switchovers, by name. Object is nil for a deletion, prev for a creation.
func (e *entry) show(object, prev *Object) ([]*Object, field.ErrorList) {
	subject := object
	if subject == nil {
		subject = prev
	}
	var shown []*Object
	each := func(kind string, names []string) {
		for _, name := range names {
			stored, ok := e.state.get(kind, name)
			if !ok || subject != nil && subject.Kind == kind && subject.Name == name {
				continue
			}
			if o := e.written(stored); !v1alpha1.StatusEqual(o.decoded, stored.decoded) {
				shown = append(shown, o)
			}
		}
	}
	now := e.state.ownership
	if !e.f.config.broken.has(brokenStatusStays) {
		each(v1alpha1.KindStore, touched(e.before.Stores, now.Stores))
		each(v1alpha1.KindUnitization, touched(e.before.Maps, now.Maps))
		each(v1alpha1.KindSwitchover, touched(e.before.Switchovers, now.Switchovers))
	}
	if object != nil && ownsStatus(object.Kind) && !e.believes(object, prev) {
		*object = *e.written(object)
	}
	return shown, e.validateSizes(append(slices.Clone(shown), object))
}

// believes says that a status stays which the proposer made up. Only a broken machine does.
func (e *entry) believes(object, prev *Object) bool {
	var old v1alpha1.Object
	if prev != nil {
		old = prev.decoded
	}
	return e.f.config.broken.has(brokenOwnedStatus) && len(validateStatusKept(object.decoded, old)) > 0
}

// validateSizes keeps what follows from a command within what a record and a snapshot can hold: a state that could not
// be told to anybody is refused beforehand.
func (e *entry) validateSizes(objects []*Object) field.ErrorList {
	var errs field.ErrorList
	for _, o := range objects {
		if o != nil && len(o.Value) > maxStored {
			errs = append(errs, field.TooLong(field.NewPath("status"), "", maxStored))
		}
	}
	for _, name := range touched(e.before.Maps, e.state.ownership.Maps) {
		m := e.state.ownership.Maps[name]
		if m == nil {
			continue
		}
		if size := len(ownershipRecord(name, m)); size > feed.MaxValue {
			errs = append(errs, field.Invalid(field.NewPath("spec", "units"), fmt.Sprintf("%d ranges", len(m.Ranges)),
				fmt.Sprintf("the ownership map of %q would have %d bytes, at most %d are allowed: use fewer, longer ranges",
					name, size, feed.MaxValue)))
		}
	}
	return errs
}

// written is a copy of an object with the status that the ownership now gives it. The rest of its JSON stays as it was
// proposed.
func (e *entry) written(object *Object) *Object {
	next := *object
	var status any
	switch d := object.decoded.(type) {
	case *v1alpha1.Store:
		c := *d
		c.Status = storeStatus(d, e.state.ownership.Stores[d.Name])
		next.decoded, status = &c, c.Status
	case *v1alpha1.Unitization:
		c := *d
		c.Status = unitizationStatus(d, e.state.ownership.Maps[d.Name])
		next.decoded, status = &c, c.Status
	case *v1alpha1.Switchover:
		c := *d
		c.Status = e.switchoverStatus(d, e.state.ownership.Switchovers[d.Name])
		next.decoded, status = &c, c.Status
	default:
		return object
	}
	next.Value = setStatus(object.Value, status)
	return &next
}

// setStatus puts a status into an object's JSON. Equal arguments give equal bytes: keys are sorted.
func setStatus(value []byte, status any) []byte {
	var all map[string]json.RawMessage
	err := json.Unmarshal(value, &all)
	if err == nil {
		all["status"], err = json.Marshal(status)
	}
	var encoded []byte
	if err == nil {
		encoded, err = json.Marshal(all)
	}
	if err != nil {
		panic(fmt.Sprintf("intent: the status of a valid object cannot be written: %v", err))
	}
	return encoded
}

func storeStatus(o *v1alpha1.Store, s *switchover.Store) v1alpha1.StoreStatus {
	status := v1alpha1.StoreStatus{ObservedGeneration: o.Generation}
	if s == nil {
		return status
	}
	status.Primary, status.Token = s.Primary, decimal(s.Token)
	status.Switchover, status.TwoWritersPossible = s.Lock, s.TwoWritersPossible
	status.State = v1alpha1.StoreClosed
	if s.Accepting {
		status.State = v1alpha1.StoreOpen
	}
	return status
}

func unitizationStatus(o *v1alpha1.Unitization, m *switchover.Map) v1alpha1.UnitizationStatus {
	status := v1alpha1.UnitizationStatus{ObservedGeneration: o.Generation}
	if m == nil {
		return status
	}
	status.Epoch, status.Wanted = decimal(m.Epoch), slices.Clone(m.Wanted)
	for _, r := range m.Ranges {
		owned := v1alpha1.OwnedRange{
			ShardRange: shardRange(r.From, r.To), Unit: r.Unit, Cells: append([]string{}, r.Cells...),
			State: v1alpha1.RangeOpen, Since: decimal(r.Since), Switchover: r.Lock,
		}
		if r.Frozen {
			owned.State = v1alpha1.RangeFrozen
		}
		status.Ranges = append(status.Ranges, owned)
	}
	return status
}

// switchoverStatus adds what the state machine of switchovers knows to what this entry's time tells.
func (e *entry) switchoverStatus(o *v1alpha1.Switchover, s *switchover.Switchover) v1alpha1.SwitchoverStatus {
	status := v1alpha1.SwitchoverStatus{ObservedGeneration: o.Generation}
	if s == nil {
		return status
	}
	status.Phase, status.PlanHash, status.ApprovedBy = v1alpha1.SwitchoverPhase(s.Phase.String()), s.Hash, s.Approver
	status.FreezeEpoch, status.CommitEpoch = decimal(s.Freeze), decimal(s.Commit)
	status.WaitedOut, status.Message = s.WaitedOut, s.Message
	for _, m := range s.Plan.Moves {
		status.Plan = append(status.Plan, v1alpha1.PlannedMove{
			Unitization: m.Unitization, ShardRange: shardRange(m.From, m.To),
			Unit: m.Unit, Cells: append([]string{}, m.Cells...), ToUnit: m.ToUnit, ToCells: append([]string{}, m.ToCells...),
		})
	}
	for _, m := range s.Plan.Stores {
		status.StorePlan = append(status.StorePlan, v1alpha1.PlannedStore{
			Store: m.Store, Primary: m.Primary, ToPrimary: m.Target,
		})
	}
	status.EstimatedDataLoss = o.Status.EstimatedDataLoss
	if loss := e.dataLoss(s); loss != "" {
		status.EstimatedDataLoss = loss
	}
	status.History = append(status.History, o.Status.History...)
	for _, phase := range passed(e.before.Switchovers[s.Name], s) {
		status.History = append(status.History, v1alpha1.PhaseTime{Phase: phase, Time: metav1.NewMicroTime(e.at)})
	}
	return status
}

// passed are the phases that a switchover came through in one entry, to where it is. With no store to move it does not
// come through those of stores.
func passed(before, now *switchover.Switchover) []v1alpha1.SwitchoverPhase {
	var from switchover.Phase
	if before != nil && before.UID == now.UID {
		from = before.Phase
	}
	if from == now.Phase {
		return nil
	}
	var through []v1alpha1.SwitchoverPhase
	if now.Phase <= switchover.PhaseDone && from > 0 {
		for p := from + 1; p < now.Phase; p++ {
			ofStores := p == switchover.PhaseFencing || p == switchover.PhaseCatchingUp || p == switchover.PhasePromoted
			if !ofStores || len(now.Plan.Stores) > 0 {
				through = append(through, v1alpha1.SwitchoverPhase(p.String()))
			}
		}
	}
	return append(through, v1alpha1.SwitchoverPhase(now.Phase.String()))
}

// dataLoss says what a Disaster may have lost, at its Commit: what the old primary of an asynchronous store had
// acknowledged, and nobody else holds. How much that is, only the old primary knows.
func (e *entry) dataLoss(now *switchover.Switchover) string {
	was := e.before.Switchovers[now.Name]
	if now.Mode != switchover.Disaster || now.Commit == 0 || was == nil || was.Commit != 0 {
		return ""
	}
	text := ""
	for _, move := range now.Plan.Stores {
		if s := e.before.Stores[move.Store]; s == nil || s.Synchronous || move.Primary == move.Target {
			continue
		}
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("store %s: what %s acknowledged and %s had not copied", move.Store, move.Primary, move.Target)
	}
	return text
}

func shardRange(from, to int) v1alpha1.ShardRange {
	return v1alpha1.ShardRange{From: int32(from), To: int32(to)}
}

// decimal is a number of 64 bits as JSON clients can read it; empty for 0, which is no epoch.
func decimal(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// touched are the names whose values were made anew, sorted. A value that nobody touched is the same pointer.
func touched[T any](before, after map[string]*T) []string {
	if sameMap(before, after) {
		return nil
	}
	var names []string
	for name, value := range after {
		if before[name] != value {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// sameMap says that two maps are one, without looking into them.
func sameMap[T any](a, b map[string]*T) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// sameOwnership compares by what a snapshot would say: whether a command changed anything must hang neither on what the
// machine copied, nor on whether this replica came from a snapshot.
func sameOwnership(a, b switchover.State) bool {
	return a.Epoch == b.Epoch &&
		same(a.Maps, b.Maps, func(m map[string]*switchover.Map) switchover.State { return switchover.State{Maps: m} }) &&
		same(a.Stores, b.Stores, func(m map[string]*switchover.Store) switchover.State {
			return switchover.State{Stores: m}
		}) &&
		same(a.Sessions, b.Sessions, func(m map[string]*switchover.Session) switchover.State {
			return switchover.State{Sessions: m}
		}) &&
		same(a.Switchovers, b.Switchovers, func(m map[string]*switchover.Switchover) switchover.State {
			return switchover.State{Switchovers: m}
		})
}

// same encodes the values that are not the same pointers.
func same[T any](a, b map[string]*T, state func(map[string]*T) switchover.State) bool {
	if len(a) != len(b) {
		return false
	}
	for _, name := range touched(a, b) {
		if a[name] == nil || b[name] == nil {
			return false
		}
		x, err := state(map[string]*T{name: a[name]}).Encode()
		y, err2 := state(map[string]*T{name: b[name]}).Encode()
		if err != nil || err2 != nil || !bytes.Equal(x, y) {
			return false
		}
	}
	return true
}
