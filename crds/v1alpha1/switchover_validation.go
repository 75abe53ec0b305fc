package v1alpha1

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// MaxMoves bounds spec.moves of a Switchover, MaxMoveRanges and MaxMoveCenters the lists of a move.
	MaxMoves       = 1024
	MaxMoveRanges  = 1024
	MaxMoveCenters = MaxCells
	// MaxOldPrimaries bounds spec.oldPrimaries.
	MaxOldPrimaries = 1024
)

// Running says that a switchover in this phase holds locks: it was approved, and has not ended.
func (p SwitchoverPhase) Running() bool { return p != "" && p != PhasePlanned && !p.Ended() }

// Ended says that nothing happens any more in this phase.
func (p SwitchoverPhase) Ended() bool {
	return p == PhaseDone || p == PhaseAborted || p == PhaseSuperseded
}

// ValidateSwitchover validates a Switchover.
func ValidateSwitchover(switchover *Switchover) field.ErrorList {
	errs := validateMeta(switchover, apivalidation.NameIsDNSSubdomain)
	path, spec := field.NewPath("spec"), &switchover.Spec
	errs = append(errs, validateEnum(path.Child("mode"), spec.Mode, SwitchoverPlanned, SwitchoverDisaster,
		SwitchoverDrill)...)
	if !exactlyOne(spec.Evacuate != nil, len(spec.Moves) > 0, spec.ReturnToBaseline) {
		errs = append(errs, field.Invalid(path, given(spec), "must have exactly one of evacuate, moves and returnToBaseline"))
	}
	errs = append(errs, validateEvacuation(path.Child("evacuate"), spec.Evacuate)...)
	errs = append(errs, validateMoves(path.Child("moves"), spec.Moves)...)
	if created := switchover.CreationTimestamp; spec.Deadline != nil && !created.IsZero() &&
		!spec.Deadline.After(created.Time) {
		errs = append(errs, field.Invalid(path.Child("deadline"), spec.Deadline.UTC().Format(time.RFC3339),
			fmt.Sprintf("must be after the creation at %s", created.UTC().Format(time.RFC3339))))
	}
	errs = append(errs, validateOldPrimaries(path.Child("oldPrimaries"), spec.OldPrimaries)...)
	if spec.Supersedes != "" {
		errs = append(errs, validateSubdomain(path.Child("supersedes"), spec.Supersedes, "evacuate-hangzhou")...)
		if spec.Supersedes == switchover.Name {
			errs = append(errs, field.Invalid(path.Child("supersedes"), spec.Supersedes, "must be another switchover"))
		}
	}
	if spec.Mode != SwitchoverDisaster {
		errs = append(errs, onlyInDisaster(path, spec)...)
	}
	return errs
}

// given names which of the fields that exclude each other a spec has.
func given(spec *SwitchoverSpec) []string {
	names := []string{}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"evacuate", spec.Evacuate != nil}, {"moves", len(spec.Moves) > 0}, {"returnToBaseline", spec.ReturnToBaseline},
	} {
		if f.set {
			names = append(names, f.name)
		}
	}
	return names
}

func onlyInDisaster(path *field.Path, spec *SwitchoverSpec) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"oldPrimaries", len(spec.OldPrimaries) > 0},
		{"acceptDataLoss", spec.AcceptDataLoss},
		{"supersedes", spec.Supersedes != ""},
	} {
		if f.set {
			errs = append(errs, field.Forbidden(path.Child(f.name), fmt.Sprintf(
				"must not be set with mode %s: only a Disaster goes on without the old side", spec.Mode)))
		}
	}
	return errs
}

func validateEvacuation(path *field.Path, evacuation *Evacuation) field.ErrorList {
	if evacuation == nil {
		return nil
	}
	if !exactlyOne(evacuation.Region != "", evacuation.Center != "") {
		return field.ErrorList{field.Invalid(path, *evacuation, "must have exactly one of region and center")}
	}
	if evacuation.Region != "" {
		return validateLabel(path.Child("region"), evacuation.Region, "hangzhou")
	}
	return validateLabel(path.Child("center"), evacuation.Center, "hz-a")
}

func validateMoves(path *field.Path, moves []Move) field.ErrorList {
	if len(moves) > MaxMoves {
		return field.ErrorList{field.TooMany(path, len(moves), MaxMoves)}
	}
	var errs field.ErrorList
	claims := map[string][]claim{} // by unitization
	for i := range moves {
		move, path := &moves[i], path.Index(i)
		bad := validateMove(path, move)
		if errs = append(errs, bad...); len(bad) > 0 {
			continue
		}
		for j, r := range move.Shards {
			claims[move.Unitization] = append(claims[move.Unitization],
				claim{ShardRange: r, path: path.Child("shards").Index(j), by: move.Unit})
		}
		for j := range moves[:i] { // two moves of one unit exclude each other when one takes all
			if other := &moves[j]; other.Unitization == move.Unitization && other.Unit == move.Unit &&
				(len(other.Shards) == 0 || len(move.Shards) == 0) {
				errs = append(errs, duplicate(path.Child("unit"), move.Unit,
					fmt.Sprintf("spec.moves[%d] moves it too, and one of both moves all its shards", j)))
				break
			}
		}
	}
	return append(errs, validateDisjoint(claims)...)
}

func validateDisjoint(claims map[string][]claim) field.ErrorList {
	var errs field.ErrorList
	for _, of := range claims {
		slices.SortStableFunc(of, func(a, b claim) int { return cmp.Compare(a.From, b.From) })
		for i := 1; i < len(of); i++ {
			if before, c := of[i-1], of[i]; c.From <= before.To {
				errs = append(errs, duplicate(c.path, c.ShardRange,
					fmt.Sprintf("shard %d moves already (%s)", c.From, before.path)))
				break
			}
		}
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return cmp.Compare(a.Field, b.Field) }) // the map has no order
	return errs
}

func validateMove(path *field.Path, move *Move) field.ErrorList {
	errs := validateLabel(path.Child("unitization"), move.Unitization, "users")
	errs = append(errs, validateLabel(path.Child("unit"), move.Unit, "rz01")...)
	if move.ToUnit != "" {
		errs = append(errs, validateLabel(path.Child("toUnit"), move.ToUnit, "rz02")...)
	}
	if len(move.Shards) > MaxMoveRanges {
		errs = append(errs, field.TooMany(path.Child("shards"), len(move.Shards), MaxMoveRanges))
	} else {
		for i, r := range move.Shards {
			errs = append(errs, validateRange(path.Child("shards").Index(i), r, MaxShards)...)
		}
	}
	errs = append(errs, validateCenters(path.Child("toCenters"), move.ToCenters)...)
	if move.ToPrimary != "" {
		errs = append(errs, validateLabel(path.Child("toPrimary"), move.ToPrimary, "sh-a")...)
	}
	return errs
}

func validateCenters(path *field.Path, centers []string) field.ErrorList {
	if len(centers) == 0 {
		return field.ErrorList{field.Required(path, "must have the centers of the cells that are active afterwards")}
	}
	if len(centers) > MaxMoveCenters {
		return field.ErrorList{field.TooMany(path, len(centers), MaxMoveCenters)}
	}
	var errs field.ErrorList
	for i, center := range centers {
		bad := validateLabel(path.Index(i), center, "sh-a")
		if len(bad) == 0 && slices.Contains(centers[:i], center) {
			bad = append(bad, duplicate(path.Index(i), center, "once is enough"))
		}
		errs = append(errs, bad...)
	}
	return errs
}

func validateOldPrimaries(path *field.Path, old []OldPrimary) field.ErrorList {
	if len(old) > MaxOldPrimaries {
		return field.ErrorList{field.TooMany(path, len(old), MaxOldPrimaries)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, primary := range old {
		path := path.Index(i)
		bad := validateLabel(path.Child("store"), primary.Store, "orders-rz01")
		if len(bad) == 0 && seen[primary.Store] {
			bad = append(bad, duplicate(path.Child("store"), primary.Store, "one thing is known of its primary"))
		}
		seen[primary.Store] = true
		errs = append(errs, bad...)
		errs = append(errs, validateEnum(path.Child("fact"), primary.Fact, OldPrimaryPoweredOff, OldPrimaryBreakGlass)...)
	}
	return errs
}

// ValidateSwitchoverUpdate keeps the whole spec: the plan was made from it, and the approval is for the plan.
func ValidateSwitchoverUpdate(switchover, old *Switchover) field.ErrorList {
	now, was, path := &switchover.Spec, &old.Spec, field.NewPath("spec")
	var errs field.ErrorList
	for _, f := range []struct {
		name    string
		now, is any
	}{
		{"mode", now.Mode, was.Mode},
		{"evacuate", now.Evacuate, was.Evacuate},
		{"moves", now.Moves, was.Moves},
		{"returnToBaseline", now.ReturnToBaseline, was.ReturnToBaseline},
		{"deadline", now.Deadline, was.Deadline},
		{"oldPrimaries", now.OldPrimaries, was.OldPrimaries},
		{"acceptDataLoss", now.AcceptDataLoss, was.AcceptDataLoss},
		{"supersedes", now.Supersedes, was.Supersedes},
	} {
		if !apiequality.Semantic.DeepEqual(f.now, f.is) {
			errs = append(errs, field.Invalid(path.Child(f.name), f.now,
				fmt.Sprintf("must stay %s: make another Switchover", asJSON(f.is))))
		}
	}
	return errs
}
