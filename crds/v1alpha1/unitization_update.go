package v1alpha1

import (
	"fmt"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateUnitizationUpdate keeps what a key's shard follows from, and what holds now: re-applying a spec, an older one
// too, moves nobody, and a spec that would take away who writes now is refused.
func ValidateUnitizationUpdate(unitization, old *Unitization) field.ErrorList {
	path, spec, was := field.NewPath("spec"), &unitization.Spec, &old.Spec
	errs := immutable(path.Child("shards"), spec.Shards, was.Shards, "keys would change their shards")
	if !apiequality.Semantic.DeepEqual(spec.Key, was.Key) {
		errs = append(errs, field.Invalid(path.Child("key"), spec.Key,
			fmt.Sprintf("must stay %s: keys would change their shards", asJSON(was.Key))))
	}
	errs = append(errs, validateOverridesUpdate(path.Child("overrides"), spec, was)...)
	errs = append(errs, validateUnitsUpdate(path.Child("units"), unitization, old)...)
	if by := movedBy(old); by != "" {
		why := fmt.Sprintf("switchover %q counts on it; wait until it has ended, or abort it", by)
		errs = append(errs, immutable(path.Child("isolation"), spec.Isolation, was.Isolation, why)...)
		if spec.Permit.Duration != nil && was.Permit.Duration != nil {
			errs = append(errs, immutable(path.Child("permit", "duration"), spec.Permit.Duration.Duration.String(),
				was.Permit.Duration.Duration.String(), why)...)
		}
	}
	return errs
}

// validateOverridesUpdate keeps the overrides. Who stamps by the old ones and who stamps by the new ones would write
// the same key to two units.
func validateOverridesUpdate(path *field.Path, spec, was *UnitizationSpec) field.ErrorList {
	const why = "the key would change its shard, and its unit, without a switchover"
	before := map[string]int32{}
	for _, override := range was.Overrides {
		before[override.Key] = override.Shard
	}
	var errs field.ErrorList
	for i, override := range spec.Overrides {
		shard, ok := before[override.Key]
		delete(before, override.Key)
		if !ok {
			errs = append(errs, field.Invalid(path.Index(i).Child("key"), override.Key, "must not be added: "+why))
		} else if shard != override.Shard {
			errs = append(errs, field.Invalid(path.Index(i).Child("shard"), override.Shard,
				fmt.Sprintf("must stay %d: %s", shard, why)))
		}
	}
	for _, override := range was.Overrides { // in their order, not the map's
		if _, gone := before[override.Key]; gone {
			errs = append(errs, field.Invalid(path, override.Key, "must stay: "+why))
		}
	}
	return errs
}

func validateUnitsUpdate(path *field.Path, unitization, old *Unitization) field.ErrorList {
	var errs field.ErrorList
	units := map[string]int{}
	for i, unit := range unitization.Spec.Units {
		units[unit.Name] = i
	}
	held := heldBy(old)
	for _, was := range old.Spec.Units {
		what, holds := held.units[was.Name]
		i, stays := units[was.Name]
		if !stays {
			if holds {
				errs = append(errs, field.Invalid(path, was.Name, fmt.Sprintf("must stay: %s; %s", what, moveFirst)))
			}
			continue
		}
		unit, path := &unitization.Spec.Units[i], path.Index(i)
		errs = append(errs, immutable(path.Child("type"), unit.Type, was.Type, "make another unit")...)
		if holds {
			errs = append(errs, immutable(path.Child("store"), unit.Store, was.Store,
				fmt.Sprintf("%s, and its data are there; %s", what, moveFirst))...)
		}
		for _, cell := range was.Cells {
			if what, ok := held.cells[cellName(was.Name, cell.Center)]; ok && !hasCell(unit, cell.Center) {
				errs = append(errs, field.Invalid(path.Child("cells"), cell.Center,
					fmt.Sprintf("must stay: %s; %s", what, moveFirst)))
			}
		}
	}
	return errs
}

const moveFirst = "move it by a Switchover first"

// holding is what a Unitization's status says of units and cells, in words.
type holding struct{ units, cells map[string]string }

func heldBy(unitization *Unitization) holding {
	held := holding{units: map[string]string{}, cells: map[string]string{}}
	status := field.NewPath("status")
	for i, r := range unitization.Status.Ranges {
		path := status.Child("ranges").Index(i)
		note(held.units, r.Unit, fmt.Sprintf("it owns shards %d to %d now (%s)", r.From, r.To, path))
		for _, cell := range r.Cells {
			note(held.cells, cell, fmt.Sprintf("its cell takes writes for shards %d to %d now (%s)", r.From, r.To, path))
		}
	}
	for i, cell := range unitization.Status.Wanted {
		path := status.Child("wanted").Index(i)
		unit, _, _ := strings.Cut(cell, ".")
		note(held.units, unit, fmt.Sprintf("a switchover is about to enter its cell %q (%s)", cell, path))
		note(held.cells, cell, fmt.Sprintf("a switchover is about to enter its cell (%s)", path))
	}
	return held
}

func note(in map[string]string, name, what string) {
	if _, ok := in[name]; !ok {
		in[name] = what
	}
}

// movedBy names a switchover that moves some of a Unitization's shards now; empty: none does.
func movedBy(unitization *Unitization) string {
	for _, r := range unitization.Status.Ranges {
		if r.Switchover != "" {
			return r.Switchover
		}
	}
	return ""
}

// cellName is the name of a unit's cell in a center, as in status.
func cellName(unit, center string) string { return unit + "." + center }

func hasCell(unit *Unit, center string) bool {
	for _, cell := range unit.Cells {
		if cell.Center == center {
			return true
		}
	}
	return false
}
