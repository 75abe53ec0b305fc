package intent

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/unitization/switchover"
)

// maxStored bounds an object's JSON with the status that the state machine writes into it, in bytes.
const maxStored = 4 << 20

// ownsStatus says that the status of a kind shows what happened, as the ownership state: only the state machine writes it.
func ownsStatus(kind string) bool {
	return kind == v1alpha1.KindStore || kind == v1alpha1.KindUnitization || kind == v1alpha1.KindSwitchover ||
		kind == v1alpha1.KindEstate
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
	return shown, append(e.validateSizes(append(slices.Clone(shown), object)), e.validateDeclaration(object)...)
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

// validateDeclaration keeps what is declared within what a record of the feed can hold: an encoder writes some characters
// as six, and fields that were left out. Only of a long object that can be too much.
func (e *entry) validateDeclaration(object *Object) field.ErrorList {
	if object == nil || !e.f.inFeed(object.Kind) || len(object.Value) <= feed.MaxValue/10 {
		return nil
	}
	if size := len(e.f.declaration(object)); size > feed.MaxValue && !e.f.config.broken.has(brokenLongRecords) {
		return field.ErrorList{field.Invalid(field.NewPath("spec"), fmt.Sprintf("%d bytes with the labels", size),
			fmt.Sprintf("servers tell it with the labels in at most %d bytes, as encoded there: declare less", feed.MaxValue))}
	}
	return nil
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
	case *v1alpha1.Estate:
		c := *d
		c.Status.ObservedGeneration = d.Generation
		next.decoded, status = &c, c.Status
	default:
		return object
	}
	next.Value = setStatus(object.Value, status)
	return &next
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

// dataLoss says what a Disaster may have lost, when its fence stands: what the old primary of an asynchronous store had
// acknowledged and nobody else holds, unless that primary told its own position. How much that is, only it knows.
func (e *entry) dataLoss(now *switchover.Switchover) string {
	was := e.before.Switchovers[now.Name]
	if was == nil || now.Mode != switchover.Disaster || was.Phase >= switchover.PhaseCatchingUp ||
		now.Phase < switchover.PhaseCatchingUp || now.Phase > switchover.PhaseDone {
		return ""
	}
	var lost []string
	for _, move := range now.Plan.Stores {
		store := e.state.ownership.Stores[move.Store]
		if store.Synchronous || move.Primary == move.Target || e.told(was, move) {
			continue
		}
		held := store.Order.Position
		lost = append(lost, fmt.Sprintf("store %s: what %s acknowledged beyond what %s held, epoch %d index %d",
			move.Store, move.Primary, move.Target, held.Epoch, held.Index))
	}
	return strings.Join(lost, "; ")
}

// told says that the old primary reported the fence itself, before this entry or in it.
func (e *entry) told(was *switchover.Switchover, move switchover.StoreMove) bool {
	if _, before := was.Reports[move.Store][move.Primary]; before {
		return true
	}
	return slices.ContainsFunc(e.reports, func(r switchover.StoreReported) bool {
		return r.Store == move.Store && r.Member == move.Primary && r.UID == was.UID && r.Report.Step == was.Step
	})
}
