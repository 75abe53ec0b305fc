package v1alpha1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateSwitchoverReferences looks at a switchover that is being created; later its plan counts, not its spec.
func validateSwitchoverReferences(switchover *Switchover, lookup Lookup) field.ErrorList {
	var errs field.ErrorList
	path, spec := field.NewPath("spec"), &switchover.Spec
	if evacuate := spec.Evacuate; evacuate != nil {
		if evacuate.Region != "" && !hasRegion(lookup, evacuate.Region) {
			errs = append(errs, notFound(path.Child("evacuate", "region"), evacuate.Region,
				"must be the region of a declared Center"))
		}
		if _, ok := lookup.Center(evacuate.Center); evacuate.Center != "" && !ok {
			errs = append(errs, notFound(path.Child("evacuate", "center"), evacuate.Center,
				"must be the name of a declared Center"))
		}
	}
	for i := range spec.Moves {
		errs = append(errs, validateMoveReferences(path.Child("moves").Index(i), &spec.Moves[i], lookup)...)
	}
	for i, primary := range spec.OldPrimaries {
		if _, ok := lookup.Store(primary.Store); !ok {
			errs = append(errs, notFound(path.Child("oldPrimaries").Index(i).Child("store"), primary.Store,
				"must be the name of a declared Store"))
		}
	}
	if spec.Supersedes != "" && !hasSwitchover(lookup, spec.Supersedes) {
		errs = append(errs, notFound(path.Child("supersedes"), spec.Supersedes, "must be the name of a declared Switchover"))
	}
	return errs
}

func validateMoveReferences(path *field.Path, move *Move, lookup Lookup) field.ErrorList {
	unitization, ok := lookup.Unitization(move.Unitization)
	if !ok {
		return field.ErrorList{notFound(path.Child("unitization"), move.Unitization,
			"must be the name of a declared Unitization")}
	}
	from, errs := owner(path.Child("unit"), unitization, move.Unit)
	to := from
	if move.ToUnit != "" {
		var bad field.ErrorList
		if to, bad = owner(path.Child("toUnit"), unitization, move.ToUnit); len(bad) > 0 {
			errs = append(errs, bad...)
		} else if from != nil && from.Store != to.Store {
			errs = append(errs, field.Invalid(path.Child("toUnit"), move.ToUnit, fmt.Sprintf(
				"must have the store of unit %q, %q, and has %q: a Switchover moves no data from one store to another",
				move.Unit, from.Store, to.Store)))
		}
	}
	for i, r := range move.Shards {
		errs = append(errs, validateRange(path.Child("shards").Index(i), r, unitization.Spec.Shards)...)
	}
	if to == nil {
		return errs
	}
	for i, center := range move.ToCenters {
		errs = append(errs, validateTarget(path.Child("toCenters").Index(i), to, center, lookup)...)
	}
	return append(errs, validateTargetPrimary(path.Child("toPrimary"), to, move.ToPrimary, lookup)...)
}

// owner finds a unit that may own shards.
func owner(path *field.Path, unitization *Unitization, name string) (*Unit, field.ErrorList) {
	for i := range unitization.Spec.Units {
		unit := &unitization.Spec.Units[i]
		if unit.Name != name {
			continue
		}
		if !unit.Type.Owns() {
			return nil, field.ErrorList{field.Invalid(path, name, fmt.Sprintf("is a %s unit: it owns nothing", unit.Type))}
		}
		return unit, nil
	}
	return nil, field.ErrorList{notFound(path, name, fmt.Sprintf("must be a unit of unitization %q", unitization.Name))}
}

func validateTarget(path *field.Path, unit *Unit, center string, lookup Lookup) field.ErrorList {
	if !hasCell(unit, center) {
		return field.ErrorList{field.Invalid(path, center, fmt.Sprintf("must be the center of a cell of unit %q", unit.Name))}
	}
	at, ok := lookup.Center(center)
	switch {
	case !ok:
		return field.ErrorList{notFound(path, center, "must be the name of a declared Center")}
	case at.Spec.Role != CenterFull:
		return field.ErrorList{field.Invalid(path, center, fmt.Sprintf(
			"is a center with role %s: no unit may move into it", at.Spec.Role))}
	}
	return nil
}

func validateTargetPrimary(path *field.Path, unit *Unit, center string, lookup Lookup) field.ErrorList {
	if center == "" {
		return nil
	}
	store, ok := lookup.Store(unit.Store)
	if !ok {
		return field.ErrorList{field.Invalid(path, center, fmt.Sprintf("must not be set: unit %q has no store", unit.Name))}
	}
	if !hasMember(store, center) {
		return field.ErrorList{field.Invalid(path, center,
			fmt.Sprintf("must be the center of a member of store %q", store.Name))}
	}
	return nil
}

func hasSwitchover(lookup Lookup, name string) bool {
	for switchover := range lookup.Switchovers() {
		if switchover.Name == name {
			return true
		}
	}
	return false
}
