package catalog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// unitization is what the two records of one Unitization say together: the declared object, and the ownership map. It
// is dropped when both are gone after a batch.
type unitization struct {
	name string
	// declared is the object's spec, nil without one.
	declared *v1alpha1.UnitizationSpec
	// spec is declared, or what was declared last: while its map is in force, its services refuse rather than becoming
	// plain ones.
	spec      *v1alpha1.UnitizationSpec
	ownership *modelpb.Ownership

	// bindings and cells, by name, follow from spec; wrong is why they cannot be used.
	bindings map[string]v1alpha1.ServiceBinding
	cells    []cellPlace
	wrong    error
	// settled is what all services share.
	settled Units
	// bound says that the services know of it.
	bound bool
}

// cellPlace is where a cell is.
type cellPlace struct {
	name, unit, center string
	unitType           v1alpha1.UnitType
	clusters           labels.Selector
}

// declareUnitization gives a Unitization its object; nil removes it. With an error nothing has changed.
func (c *Catalog) declareUnitization(name string, value []byte, touched changes) error {
	changed, err := declare(c.intent.unitizations, name, value, decodeUnitization)
	if !changed {
		return err
	}
	c.intent.rules++
	u := c.intent.unitizationOf(name)
	c.intent.bind(u, false, touched)
	if u.declared = c.intent.unitizations[name].message; u.declared != nil {
		u.take(u.declared)
	}
	c.intent.settle(u, touched)
	return nil
}

// declareOwnership gives a Unitization its map; nil removes it. With an error nothing has changed.
func (c *Catalog) declareOwnership(name string, value []byte, touched changes) error {
	changed, err := declare(c.intent.ownerships, name, value, model.DecodeOwnership)
	if !changed {
		return err
	}
	if c.broken.has(breakOwnership) {
		touched = changes{}
	}
	u := c.intent.unitizationOf(name)
	u.ownership = c.intent.ownerships[name].message
	c.intent.settle(u, touched)
	return nil
}

func (in *intent) unitizationOf(name string) *unitization {
	u, ok := in.known[name]
	if !ok {
		u = &unitization{name: name}
		in.known[name] = u
	}
	return u
}

// take works out what follows from a spec alone.
func (u *unitization) take(spec *v1alpha1.UnitizationSpec) {
	u.spec = spec
	u.cells, u.wrong = cellPlaces(spec)
	u.bindings = make(map[string]v1alpha1.ServiceBinding, len(spec.Services))
	for _, b := range spec.Services {
		u.bindings[b.Name] = b
	}
}

// settle works out what the records say together, and touches the services that hear of it.
func (in *intent) settle(u *unitization, touched changes) {
	if u.spec == nil {
		return // a map of nobody knows what
	}
	u.settled = settled(u)
	in.bind(u, u.declared != nil || u.ownership != nil, touched)
}

// dropUnitizations ends a batch.
func (in *intent) dropUnitizations() {
	maps.DeleteFunc(in.known, func(_ string, u *unitization) bool { return u.declared == nil && u.ownership == nil })
}

// bind enters a Unitization at the services that it names, or takes it out there, and touches them in any case.
func (in *intent) bind(u *unitization, bound bool, touched changes) {
	for name := range u.bindings {
		if bound || u.bound {
			touched.add(name)
		}
		if bound == u.bound {
			continue
		}
		others := slices.DeleteFunc(in.boundBy[name], func(o *unitization) bool { return o == u })
		if bound {
			others = append(others, u)
			slices.SortFunc(others, func(a, b *unitization) int { return cmp.Compare(a.name, b.name) })
		}
		if in.boundBy[name] = others; len(others) == 0 {
			delete(in.boundBy, name)
		}
	}
	u.bound = bound
}

// settled is what all services of a Unitization share.
func settled(u *unitization) Units {
	out := Units{Unitization: u.name, Shards: int(u.spec.Shards)}
	if u.spec.Key != nil {
		out.Header = u.spec.Key.Header
	}
	switch o := u.ownership; {
	case u.wrong != nil:
		out.Refused = fmt.Sprintf("unitization %q: %v", u.name, u.wrong)
	case u.declared == nil:
		out.Refused = fmt.Sprintf("unitization %q is gone, and its ownership map is not", u.name)
	case o == nil:
		out.Refused = fmt.Sprintf("unitization %q has no ownership map", u.name)
	case int32(o.GetShards()) != u.spec.Shards:
		out.Refused = fmt.Sprintf("unitization %q: spec.shards: %d, but its ownership map has %d", u.name, u.spec.Shards,
			o.GetShards())
	default:
		out.Epoch, out.Wanted = o.GetEpoch(), o.GetWanted()
		for _, r := range o.GetRanges() {
			out.Ranges = append(out.Ranges, Range{From: int(r.GetFrom()), To: int(r.GetTo()), Unit: r.GetUnit(),
				Cells: r.GetCells(), Frozen: r.GetState() != modelpb.RangeState_RANGE_STATE_OPEN, Since: r.GetSince()})
		}
	}
	return out
}

func cellPlaces(spec *v1alpha1.UnitizationSpec) ([]cellPlace, error) {
	var out []cellPlace
	for i, unit := range spec.Units {
		for j, cell := range unit.Cells {
			selector := labels.Everything()
			if cell.Clusters != nil {
				var err error
				if selector, err = metav1.LabelSelectorAsSelector(cell.Clusters); err != nil {
					return nil, fmt.Errorf("spec.units[%d].cells[%d].clusters: %w", i, j, err)
				}
			}
			out = append(out, cellPlace{
				name: unit.Name + "." + cell.Center, unit: unit.Name, center: cell.Center,
				unitType: cmp.Or(unit.Type, v1alpha1.UnitSharded), clusters: selector,
			})
		}
	}
	slices.SortFunc(out, func(a, b cellPlace) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(out); i++ {
		if out[i].name == out[i-1].name {
			return nil, fmt.Errorf("spec.units: Duplicate value: cell %q", out[i].name)
		}
	}
	return out, nil
}

// unitsOf says how a service is bound; nil: it is a plain one. Clusters are the merged ones, and unchanged parts of
// what was before are taken over.
func (c *Catalog) unitsOf(service string, clusters []ClusterEndpoints, before *Units) *Units {
	bound := c.intent.boundBy[service]
	if len(bound) == 0 {
		return nil
	}
	u := bound[0]
	out := u.settled
	if c.broken.has(breakPlain) && (u.declared == nil || u.ownership == nil) {
		return nil
	}
	binding := u.bindings[service]
	out.Type, out.Reads = cmp.Or(binding.Type, v1alpha1.UnitSharded), binding.Reads
	if len(bound) > 1 {
		out.Refused = fmt.Sprintf("service %q is bound by unitizations %q and %q", service, u.name, bound[1].name)
		out.Epoch, out.Ranges, out.Wanted = 0, nil, nil
	}
	for _, place := range u.cells {
		cell := c.cellOf(place, clusters)
		if before != nil {
			if same := before.Cell(cell.Name); same != nil && same.equal(cell) {
				cell = same
			}
		}
		out.Cells = append(out.Cells, cell)
	}
	if out.equal(before) {
		return before
	}
	return &out
}

// cellOf gives a cell its clusters, and of those the endpoints of its unit.
func (c *Catalog) cellOf(place cellPlace, clusters []ClusterEndpoints) *Cell {
	cell := &Cell{Name: place.name, Unit: place.unit, Type: place.unitType, Center: place.center}
	if center := c.intent.centers[place.center].message; center != nil {
		cell.Region = center.Region
	}
	for _, cl := range clusters {
		if cl.Center != place.center && !c.broken.has(breakCenter) {
			continue
		}
		if d := c.intent.clusters[cl.Cluster].message; d == nil || !place.clusters.Matches(labels.Set(d.Labels)) {
			if !c.broken.has(breakSelector) {
				continue
			}
		}
		of := cl
		of.Slices = make([]*Slice, 0, len(cl.Slices))
		for _, s := range cl.Slices {
			if s.unit == "" || s.unit == place.unit || c.broken.has(breakUnit) {
				of.Slices = append(of.Slices, s)
			}
		}
		cell.Clusters = append(cell.Clusters, of)
	}
	return cell
}

// touchCells marks the services of every Unitization with a cell in a center.
func (in *intent) touchCells(center string, touched changes) {
	for _, u := range in.known {
		if slices.ContainsFunc(u.cells, func(p cellPlace) bool { return p.center == center }) {
			in.bind(u, u.bound, touched)
		}
	}
}

// RulesVersion grows whenever Rules may give others.
func (c *Catalog) RulesVersion() uint64 { return c.intent.rules }

// Rules are those of every declared Unitization, by name. A service that two of them bind is only in the first.
func (c *Catalog) Rules() []Rules {
	var out []Rules
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.intent.unitizations)) {
		r := Rules{Unitization: name, Spec: c.intent.unitizations[name].message}
		for _, b := range r.Spec.Services {
			if !seen[b.Name] {
				r.Services = append(r.Services, b)
			}
			seen[b.Name] = true
		}
		out = append(out, r)
	}
	return out
}

func decodeUnitization(name string, value []byte) (*v1alpha1.UnitizationSpec, error) {
	o := &v1alpha1.Unitization{}
	if err := json.Unmarshal(value, o); err != nil {
		return nil, fmt.Errorf("unitization %q: %w", name, err)
	}
	return &o.Spec, nil
}
