package dev

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/unitization/switchover"
)

//go:embed units.yaml
var unitsEstate []byte

// Limits of writes a second for each shard.
const (
	defaultWrites = 5
	maxWrites     = 50
)

// Unitization divides services among units; it becomes the object of that name.
type Unitization struct {
	Name   string `json:"name"`
	Shards int    `json:"shards"`
	// Header carries a user's id, a decimal number: its last digits are the shard where Shards is a power of ten, else the
	// remainder. Empty for one shard.
	Header   string   `json:"header,omitempty"`
	Services []string `json:"services"`
	Units    []Unit   `json:"units"`
}

// Unit is one unit at the baseline. Type defaults to Sharded.
type Unit struct {
	Name string            `json:"name"`
	Type v1alpha1.UnitType `json:"type,omitempty"`
	// Shards are a Sharded unit's own.
	Shards []v1alpha1.ShardRange `json:"shards,omitempty"`
	// Cells are the centers of the active cells, Standby of the others.
	Cells   []string `json:"cells"`
	Standby []string `json:"standby,omitempty"`
	// Store is the unit's; City units have none.
	Store string `json:"store,omitempty"`
}

// Store is a ledger with a member in each of some centers; it becomes the object of that name.
type Store struct {
	Name    string   `json:"name"`
	Primary string   `json:"primary"`
	Members []string `json:"members"`
}

// fullCenters are the centers that run workloads.
type fullCenters map[string]bool

func (f fullCenters) check(field, center string) error {
	if f[center] {
		return nil
	}
	return fmt.Errorf("%s: %q is no Full center of regions", field, center)
}

// validateUnits refuses what the API would refuse only once everything runs, and puts in the defaults.
func (e *Estate) validateUnits(full fullCenters) error {
	stores, err := e.validateStores(full)
	errs := []error{err}
	names := unitNames{unitizations: map[string]bool{}, units: map[string]bool{}, services: map[string]string{}}
	for i := range e.Unitizations {
		field := fmt.Sprintf("unitizations[%d]", i)
		errs = append(errs, e.Unitizations[i].validate(field, e.Services, names, full, stores))
	}
	for i, s := range e.Stores {
		if users := stores[s.Name]; len(users) != 1 {
			errs = append(errs, fmt.Errorf("stores[%d].name: %q has %d units, must have one", i, s.Name, len(users)))
		}
	}
	if e.Writes < 0 || e.Writes > maxWrites {
		errs = append(errs, fmt.Errorf("writes: %g is not between 0 (the default, %d) and %d writes a second for each shard",
			e.Writes, defaultWrites, maxWrites))
	}
	return errors.Join(errs...)
}

// unitNames are those that are taken.
type unitNames struct {
	unitizations, units map[string]bool
	services            map[string]string
}

// storeUsers are the units of each store.
type storeUsers map[string][]string

func (e *Estate) validateStores(full fullCenters) (storeUsers, error) {
	var errs []error
	users := storeUsers{}
	for i, s := range e.Stores {
		field := fmt.Sprintf("stores[%d]", i)
		errs = append(errs, checkName(field+".name", s.Name, validation.IsDNS1123Label))
		if _, there := users[s.Name]; there {
			errs = append(errs, fmt.Errorf("%s.name: %q is there already", field, s.Name))
		}
		users[s.Name] = nil
		for j, center := range s.Members {
			member := fmt.Sprintf("%s.members[%d]", field, j)
			errs = append(errs, full.check(member, center))
			if slices.Contains(s.Members[:j], center) {
				errs = append(errs, fmt.Errorf("%s: %q is there already: a store has one member in a center", member, center))
			}
		}
		if len(s.Members)%2 == 0 {
			errs = append(errs, fmt.Errorf("%s.members: %d members have no majority without one of them: use 1, 3 or 5",
				field, len(s.Members)))
		}
		if !slices.Contains(s.Members, s.Primary) {
			errs = append(errs, fmt.Errorf("%s.primary: %q is not among members", field, s.Primary))
		}
	}
	return users, errors.Join(errs...)
}

func (u *Unitization) validate(
	field string, services []Service, names unitNames, full fullCenters, stores storeUsers,
) error {
	errs := []error{checkName(field+".name", u.Name, validation.IsDNS1123Label)}
	if names.unitizations[u.Name] {
		errs = append(errs, fmt.Errorf("%s.name: %q is there already", field, u.Name))
	}
	names.unitizations[u.Name] = true
	if u.Shards < 1 || u.Shards > 16384 {
		errs = append(errs, fmt.Errorf("%s.shards: %d is not between 1 and 16384", field, u.Shards))
	}
	if (u.Header == "") != (u.Shards == 1) {
		errs = append(errs, fmt.Errorf("%s.header: %q: must be named with more than one shard, and only then",
			field, u.Header))
	}
	if len(u.Services) == 0 {
		errs = append(errs, fmt.Errorf("%s.services: must name at least one", field))
	}
	for i, name := range u.Services {
		service := fmt.Sprintf("%s.services[%d]", field, i)
		switch {
		case !slices.ContainsFunc(services, func(s Service) bool { return s.Name == name }):
			errs = append(errs, fmt.Errorf("%s: %q is not among services", service, name))
		case !sample.HasWrites(name):
			errs = append(errs, fmt.Errorf("%s: %q has no writes, and needs no units", service, name))
		case names.services[name] != "":
			errs = append(errs, fmt.Errorf("%s: %q belongs to %q already", service, name, names.services[name]))
		}
		names.services[name] = u.Name
	}
	if len(u.Units) == 0 {
		errs = append(errs, fmt.Errorf("%s.units: must hold at least one", field))
	}
	owners := make([]string, max(0, min(u.Shards, 16384)))
	for i := range u.Units {
		at := fmt.Sprintf("%s.units[%d]", field, i)
		errs = append(errs, u.Units[i].validate(at, names, full, stores), u.own(at, &u.Units[i], owners))
	}
	if shard := slices.Index(owners, ""); shard >= 0 && len(u.Units) > 0 {
		errs = append(errs, fmt.Errorf("%s.units: shard %d belongs to none", field, shard))
	}
	return errors.Join(errs...)
}

func (u *Unit) validate(field string, names unitNames, full fullCenters, stores storeUsers) error {
	errs := []error{checkName(field+".name", u.Name, validation.IsDNS1123Label)}
	if names.units[u.Name] {
		errs = append(errs, fmt.Errorf("%s.name: %q is there already: unit names are unique in the estate", field, u.Name))
	}
	names.units[u.Name] = true
	if u.Type == "" {
		u.Type = v1alpha1.UnitSharded
	}
	if len(u.Cells) == 0 {
		errs = append(errs, fmt.Errorf("%s.cells: must name at least one center", field))
	}
	seen := map[string]bool{}
	for _, list := range []struct {
		name    string
		centers []string
	}{{"cells", u.Cells}, {"standby", u.Standby}} {
		for i, center := range list.centers {
			at := fmt.Sprintf("%s.%s[%d]", field, list.name, i)
			errs = append(errs, full.check(at, center))
			if seen[center] {
				errs = append(errs, fmt.Errorf("%s: %q is there already: a unit has one cell in a center", at, center))
			}
			seen[center] = true
		}
	}
	users, known := stores[u.Store]
	switch {
	case u.Type == v1alpha1.UnitCity && u.Store != "":
		errs = append(errs, fmt.Errorf("%s.store: %q: a City unit has none", field, u.Store))
	case u.Type == v1alpha1.UnitCity:
	case !known:
		errs = append(errs, fmt.Errorf("%s.store: %q is not among stores", field, u.Store))
	default:
		stores[u.Store] = append(users, u.Name)
	}
	return errors.Join(errs...)
}

// own gives a unit its shards.
func (u *Unitization) own(field string, unit *Unit, owners []string) error {
	ranges := unit.Shards
	switch unit.Type {
	case v1alpha1.UnitSharded:
		if len(unit.Shards) == 0 {
			return fmt.Errorf("%s.shards: must hold at least one range", field)
		}
	case v1alpha1.UnitGlobal, v1alpha1.UnitCity:
		if u.Shards != 1 || len(unit.Shards) > 0 {
			return fmt.Errorf("%s.type: %q: only where there is one shard, which needs no ranges", field, unit.Type)
		}
		if unit.Type == v1alpha1.UnitGlobal {
			ranges = []v1alpha1.ShardRange{{}}
		}
	default:
		return fmt.Errorf("%s.type: %q is none of %s, %s and %s", field, unit.Type,
			v1alpha1.UnitSharded, v1alpha1.UnitGlobal, v1alpha1.UnitCity)
	}
	for i, r := range ranges {
		if r.From < 0 || r.From > r.To || int(r.To) >= len(owners) {
			return fmt.Errorf("%s.shards[%d]: %d to %d is no range within 0 to %d", field, i, r.From, r.To, len(owners)-1)
		}
		for shard := r.From; shard <= r.To; shard++ {
			if owners[shard] != "" {
				return fmt.Errorf("%s.shards[%d]: shard %d belongs to %q already", field, i, shard, owners[shard])
			}
			owners[shard] = unit.Name
		}
	}
	return nil
}

// writes a second for each shard.
func (e *Estate) writes() float64 {
	if e.Writes == 0 {
		return defaultWrites
	}
	return e.Writes
}

// Unitization is the one that a service belongs to; nil: none.
func (e *Estate) Unitization(service string) *Unitization {
	for i := range e.Unitizations {
		if slices.Contains(e.Unitizations[i].Services, service) {
			return &e.Unitizations[i]
		}
	}
	return nil
}

// here are the units with a cell in a center.
func (u *Unitization) here(center string) []Unit {
	return slices.DeleteFunc(slices.Clone(u.Units), func(unit Unit) bool {
		return !slices.Contains(unit.Cells, center) && !slices.Contains(unit.Standby, center)
	})
}

// cell is the name of the unit's cell in a center.
func (u Unit) cell(center string) string { return switchover.CellName(u.Name, center) }
