package v1alpha1

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// taken is what the other Unitizations have, each with its owner's name.
type taken struct{ units, services, stores map[string]string }

func takenByOthers(than string, lookup Lookup) taken {
	t := taken{units: map[string]string{}, services: map[string]string{}, stores: map[string]string{}}
	for other := range lookup.Unitizations() {
		if other.Name == than {
			continue
		}
		for _, unit := range other.Spec.Units {
			t.units[unit.Name] = other.Name
			if unit.Store != "" {
				t.stores[unit.Store] = other.Name
			}
		}
		for _, service := range other.Spec.Services {
			t.services[service.Name] = other.Name
		}
	}
	return t
}

func validateUnitizationReferences(unitization *Unitization, creating bool, lookup Lookup) field.ErrorList {
	var errs field.ErrorList
	others := takenByOthers(unitization.Name, lookup)
	clusters := map[string][]*Cluster{} // by center
	for cluster := range lookup.Clusters() {
		clusters[cluster.Spec.Center] = append(clusters[cluster.Spec.Center], cluster)
	}
	units, services := field.NewPath("spec", "units"), field.NewPath("spec", "services")
	for i := range unitization.Spec.Units {
		unit, path := &unitization.Spec.Units[i], units.Index(i)
		if other, ok := others.units[unit.Name]; ok {
			errs = append(errs, duplicate(path.Child("name"), unit.Name, fmt.Sprintf(
				"unitization %q has a unit of this name, and unit names are unique in the estate", other)))
		}
		for j := range unit.Cells {
			path, cell := path.Child("cells").Index(j), &unit.Cells[j]
			bad := validateCellCenter(path.Child("center"), unit, cell, creating, lookup)
			if len(bad) == 0 {
				bad = validateCellClusters(path, cell, clusters[cell.Center])
			}
			errs = append(errs, bad...)
		}
		if unit.Store != "" {
			errs = append(errs, validateUnitStore(path.Child("store"), unit, &unitization.Spec, others, lookup)...)
		}
	}
	for i, service := range unitization.Spec.Services {
		if other, ok := others.services[service.Name]; ok {
			errs = append(errs, duplicate(services.Index(i).Child("name"), service.Name, fmt.Sprintf(
				"unitization %q has bound this service, and a service is bound once", other)))
		}
	}
	return errs
}

func validateCellCenter(path *field.Path, unit *Unit, cell *Cell, creating bool, lookup Lookup) field.ErrorList {
	if errs := validateFullCenter(path, cell.Center, "a cell", lookup); len(errs) > 0 {
		return errs
	}
	center, _ := lookup.Center(cell.Center)
	if creating && unit.Type.Owns() && !cell.Standby && !center.Spec.TakesUnits() {
		return field.ErrorList{field.Invalid(path, cell.Center, fmt.Sprintf(
			"is %s: no unit may move into the center; make the cell standby, or the center Open", center.Spec.Phase))}
	}
	return nil
}

// validateCellClusters demands that a cell runs somewhere. Clusters are those of its center.
func validateCellClusters(path *field.Path, cell *Cell, clusters []*Cluster) field.ErrorList {
	if slices.ContainsFunc(clusters, func(c *Cluster) bool { return selects(cell, c) }) {
		return nil
	}
	if cell.Clusters == nil {
		return field.ErrorList{field.Invalid(path.Child("center"), cell.Center,
			"has no cluster: a cell runs in clusters of its center")}
	}
	return field.ErrorList{field.Invalid(path.Child("clusters"), metav1.FormatLabelSelector(cell.Clusters),
		fmt.Sprintf("selects no cluster of center %q: a cell runs in clusters of its center", cell.Center))}
}

func validateUnitStore(path *field.Path, unit *Unit, spec *UnitizationSpec, others taken,
	lookup Lookup) field.ErrorList {
	store, ok := lookup.Store(unit.Store)
	if !ok {
		return field.ErrorList{notFound(path, unit.Store, "must be the name of a declared Store")}
	}
	if other, ok := others.stores[unit.Store]; ok {
		return field.ErrorList{duplicate(path, unit.Store, fmt.Sprintf(
			"units of unitization %q have their data there, and a store belongs to one Unitization", other))}
	}
	if why := unfit(store, spec); why != "" {
		return field.ErrorList{field.Invalid(path, unit.Store, why)}
	}
	return nil
}
