package intent

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/switchover"
)

const (
	// defaultPermit is T where a Unitization does not say: only one that was proposed without defaults.
	defaultPermit = 5 * time.Second
	// defaultDeadline is how long after its creation a switchover without a deadline can be approved.
	defaultDeadline = time.Hour
)

// declare takes what an object declares over into the ownership. The map of a Unitization that there is already stays
// as it is: re-applying a spec never moves ownership (rule 22 of ownership).
func (e *entry) declare(object, current *Object) field.ErrorList {
	switch o := object.decoded.(type) {
	case *v1alpha1.Store:
		return e.advance(declareStore(o))
	case *v1alpha1.Unitization:
		if e.f.config.broken.has(brokenReapply) && current != nil {
			e.advance(switchover.RetireMap{Unitization: o.Name})
		}
		return e.advance(declareMap(o))
	case *v1alpha1.Switchover:
		if current != nil {
			return nil // its spec cannot change
		}
		return e.plan(o)
	}
	return nil
}

// retire takes an object that is being deleted out of the ownership.
func (e *entry) retire(current *Object) field.ErrorList {
	switch o := current.decoded.(type) {
	case *v1alpha1.Store:
		return e.advance(switchover.RetireStore{Store: o.Name})
	case *v1alpha1.Unitization:
		return e.advance(switchover.RetireMap{Unitization: o.Name})
	case *v1alpha1.Switchover:
		return e.advance(switchover.Retire{Name: o.Name})
	}
	return nil
}

// plan makes a switchover's plan from the state as it is now.
func (e *entry) plan(o *v1alpha1.Switchover) field.ErrorList {
	if errs := e.validateDeadline(o); len(errs) > 0 {
		return errs
	}
	r := request(o)
	plan, problems := switchover.MakePlan(world(e.state.objects), e.state.ownership, r)
	if len(problems) > 0 {
		return fieldErrors(problems)
	}
	return e.advance(switchover.Declare{Name: o.Name, UID: string(o.UID), Request: r, Plan: plan})
}

// validateDeadline holds a switchover that is created or approved to its deadline, by the proposer's clock.
func (e *entry) validateDeadline(o *v1alpha1.Switchover) field.ErrorList {
	deadline := Deadline(o)
	if e.at.Before(deadline) || e.f.config.broken.has(brokenDeadline) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec", "deadline"), deadline.UTC().Format(timeFormat),
		"must be later than now, "+e.at.UTC().Format(timeFormat)+": the switchover has expired; create another one")}
}

// Deadline is until when a switchover can be approved, and when it rolls back by itself unless it is past its Commit:
// its spec's, or an hour after its creation.
func Deadline(o *v1alpha1.Switchover) time.Time {
	if o.Spec.Deadline != nil {
		return o.Spec.Deadline.Time
	}
	return o.CreationTimestamp.Add(defaultDeadline)
}

// advance takes the ownership one event further, or says why not.
func (e *entry) advance(event switchover.Event) field.ErrorList {
	next, problems := e.state.ownership.Apply(event)
	if len(problems) > 0 {
		return fieldErrors(problems)
	}
	e.state.ownership = next
	return nil
}

func fieldErrors(problems []switchover.Problem) field.ErrorList {
	var errs field.ErrorList
	for _, p := range problems {
		value := p.Value
		if named, ok := value.(fmt.Stringer); ok { // a phase, a mode, a duration: as people read them
			value = named.String()
		}
		errs = append(errs, &field.Error{
			Type: field.ErrorTypeInvalid, Field: p.Field, BadValue: value, Detail: p.Detail,
		})
	}
	return errs
}

func declareStore(o *v1alpha1.Store) switchover.DeclareStore {
	d := switchover.DeclareStore{
		Store: o.Name, Primary: o.Spec.Primary, HoldsPermit: o.Spec.HoldsPermit,
		Synchronous: o.Spec.Replication == v1alpha1.ReplicationSynchronous,
	}
	for _, m := range o.Spec.Members {
		d.Members = append(d.Members, m.Center)
	}
	slices.Sort(d.Members)
	return d
}

func declareMap(o *v1alpha1.Unitization) switchover.DeclareMap {
	d := switchover.DeclareMap{
		Unitization: o.Name, Shards: int(o.Spec.Shards), Permit: defaultPermit,
		Keep: o.Spec.Isolation == v1alpha1.IsolationKeep, Baseline: baseline(o),
	}
	if t := o.Spec.Permit.Duration; t != nil {
		d.Permit = t.Duration
	}
	return d
}

// baseline is the map that a spec declares, sorted, neighbours of one unit in one range.
func baseline(o *v1alpha1.Unitization) []switchover.Range {
	var ranges []switchover.Range
	for i := range o.Spec.Units {
		unit := &o.Spec.Units[i]
		var cells []string
		for _, c := range unit.Cells {
			if !c.Standby {
				cells = append(cells, switchover.CellName(unit.Name, c.Center))
			}
		}
		slices.Sort(cells)
		for _, r := range shardsOf(unit) {
			ranges = append(ranges, switchover.Range{From: r.From, To: r.To, Unit: unit.Name, Cells: cells})
		}
	}
	slices.SortFunc(ranges, func(a, b switchover.Range) int { return cmp.Compare(a.From, b.From) })
	merged := ranges[:0]
	for _, r := range ranges {
		if n := len(merged); n > 0 && merged[n-1].Unit == r.Unit && merged[n-1].To+1 == r.From {
			merged[n-1].To = r.To
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// shardsOf are a unit's shards at the baseline.
func shardsOf(unit *v1alpha1.Unit) []switchover.Shards {
	switch unit.Type {
	case v1alpha1.UnitCity:
		return nil
	case v1alpha1.UnitGlobal:
		return []switchover.Shards{{From: 0, To: 0}}
	}
	return shards(unit.Shards)
}

func shards(ranges []v1alpha1.ShardRange) []switchover.Shards {
	var out []switchover.Shards
	for _, r := range ranges {
		out = append(out, switchover.Shards{From: int(r.From), To: int(r.To)})
	}
	return out
}

// request is what a switchover's spec asks of the machine.
func request(o *v1alpha1.Switchover) switchover.Request {
	r := switchover.Request{
		Mode: switchover.Planned, ToBaseline: o.Spec.ReturnToBaseline,
		AcceptDataLoss: o.Spec.AcceptDataLoss, Supersedes: o.Spec.Supersedes,
	}
	if o.Spec.Mode == v1alpha1.SwitchoverDisaster {
		r.Mode = switchover.Disaster
	}
	if evacuate := o.Spec.Evacuate; evacuate != nil {
		r.EvacuateRegion, r.EvacuateCenter = evacuate.Region, evacuate.Center
	}
	for _, m := range o.Spec.Moves {
		r.Moves = append(r.Moves, switchover.MoveRequest{
			Unitization: m.Unitization, Unit: m.Unit, ToUnit: m.ToUnit, Shards: shards(m.Shards),
			ToCenters: slices.Clone(m.ToCenters), ToPrimary: m.ToPrimary,
		})
	}
	for _, p := range o.Spec.OldPrimaries {
		if r.Facts == nil {
			r.Facts = map[string]switchover.Fact{}
		}
		switch p.Fact {
		case v1alpha1.OldPrimaryPoweredOff:
			r.Facts[p.Store] = switchover.PoweredOff
		case v1alpha1.OldPrimaryBreakGlass:
			r.Facts[p.Store] = switchover.BreakGlass
		}
	}
	return r
}
