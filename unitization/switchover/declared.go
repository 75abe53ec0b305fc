package switchover

import "slices"

// World is what is declared, as far as plans need it.
type World struct {
	Centers      map[string]Center
	Unitizations map[string]Unitization
	Stores       map[string]StoreBaseline
}

// Center is a place.
type Center struct {
	Region string
	Full   bool
	// Open centers take units.
	Open bool
}

// Unitization is a baseline.
type Unitization struct {
	Shards int
	Units  []Unit
}

// Unit is a unit of a baseline.
type Unit struct {
	Name string
	// Owns says that it may own shards (Sharded and Global units).
	Owns     bool
	Baseline []Shards
	// Cells are in the order of preference, as declared.
	Cells []Cell
	Store string
}

// Shards is an inclusive range.
type Shards struct{ From, To int }

// Cell is a cell of a baseline.
type Cell struct {
	Center  string
	Standby bool
}

// StoreBaseline is a store as declared.
type StoreBaseline struct {
	Primary string
}

// Request is what a switchover's spec asks for. Exactly one of EvacuateRegion, EvacuateCenter, Moves and ToBaseline
// is set.
type Request struct {
	Mode           Mode
	EvacuateRegion string
	EvacuateCenter string
	Moves          []MoveRequest
	ToBaseline     bool
	AcceptDataLoss bool
	// Facts are by store.
	Facts      map[string]Fact
	Supersedes string
}

// MoveRequest is one move of a spec.
type MoveRequest struct {
	Unitization, Unit, ToUnit string
	Shards                    []Shards
	ToCenters                 []string
	ToPrimary                 string
}

// beside are the cells of a unit that take writes while its store's primary is in a center: those that did, if one of
// them is there, or else the one that is there, if the unit has it and the center takes units.
func (w World) beside(unit Unit, center string, cells []string) []string {
	there := CellName(unit.Name, center)
	has := slices.ContainsFunc(unit.Cells, func(c Cell) bool { return c.Center == center })
	if slices.Contains(cells, there) || !has || !w.Centers[center].Full || !w.Centers[center].Open {
		return cells
	}
	return []string{there}
}

// unit is one of a Unitization's.
func (w World) unit(unitization, name string) (Unit, bool) {
	units := w.Unitizations[unitization].Units
	i := slices.IndexFunc(units, func(u Unit) bool { return u.Name == name })
	if i < 0 {
		return Unit{}, false
	}
	return units[i], true
}
