package switchover

import (
	"fmt"
	"strings"
)

func name[T ~int](names []string, value T) string {
	if value >= 1 && int(value) <= len(names) {
		return names[value-1]
	}
	return fmt.Sprint(int(value))
}

// String is the phase's name, as in v1alpha1.SwitchoverPhase.
func (p Phase) String() string {
	return name([]string{"Planned", "Approved", "Frozen", "Fencing", "CatchingUp", "CaughtUp", "Committed", "Promoted",
		"Opened", "Done", "Aborted", "Superseded"}, p)
}

// Ended says that nothing more becomes of a switchover in this phase.
func (p Phase) Ended() bool { return p >= PhaseDone }

// Running says that a switchover in this phase holds locks.
func (p Phase) Running() bool { return p >= PhaseApproved && p < PhaseDone }

// String is the mode's name, as in v1alpha1.SwitchoverMode.
func (m Mode) String() string { return name([]string{"Planned", "Disaster"}, m) }

// String is the action's name.
func (a Action) String() string {
	return name([]string{"Fence", "CatchUp", "Promote", "Open", "Unfence"}, a)
}

// String is the fact's name, as in v1alpha1.OldPrimaryFact.
func (f Fact) String() string { return name([]string{"PoweredOff", "BreakGlass"}, f) }

// String is the holder's name.
func (h Holder) String() string { return name([]string{"relay", "agent"}, h) }

// CellName is the name of a unit's cell in a center.
func CellName(unit, center string) string { return unit + "." + center }

// CellCenter is the center of a cell, by its name: a unit's name has no dot.
func CellCenter(cell string) string {
	_, center, _ := strings.Cut(cell, ".")
	return center
}
