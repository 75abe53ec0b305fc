package v1alpha1

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateStoreReferences(store *Store, lookup Lookup) field.ErrorList {
	var errs field.ErrorList
	members := field.NewPath("spec", "members")
	clusters := map[string]*Cluster{}
	for cluster := range lookup.Clusters() {
		clusters[cluster.Name] = cluster
	}
	for i, member := range store.Spec.Members {
		path := members.Index(i)
		errs = append(errs, validateFullCenter(path.Child("center"), member.Center, "a member of a store", lookup)...)
		cluster, ok := clusters[member.Cluster]
		switch {
		case !ok:
			errs = append(errs, notFound(path.Child("cluster"), member.Cluster, "must be the name of a declared Cluster"))
		case cluster.Spec.Center != member.Center:
			errs = append(errs, field.Invalid(path.Child("cluster"), member.Cluster,
				fmt.Sprintf("is in center %q: it must be in the member's, %q", cluster.Spec.Center, member.Center)))
		}
	}
	return append(errs, validatePermitHeld(store, lookup)...)
}

// validatePermitHeld keeps what the units of a store count on.
func validatePermitHeld(store *Store, lookup Lookup) field.ErrorList {
	path := field.NewPath("spec", "holdsPermit")
	for unitization := range lookup.Unitizations() {
		for i := range unitization.Spec.Units {
			unit := &unitization.Spec.Units[i]
			if unit.Store != store.Name {
				continue
			}
			if why := unfit(store, &unitization.Spec); why != "" {
				return field.ErrorList{field.Invalid(path, store.Spec.HoldsPermit, fmt.Sprintf(
					"unit %q of unitization %q has its data here, and %s", unit.Name, unitization.Name, why))}
			}
		}
	}
	return nil
}

// unfit says why a store does not suit the isolation of its units; empty: it does.
func unfit(store *Store, spec *UnitizationSpec) string {
	switch {
	case spec.Isolation == IsolationStop && !spec.Guard && !store.Spec.HoldsPermit:
		return "isolation Stop without guard needs a store with holdsPermit: nothing else stops the unit when its permits end"
	case spec.Isolation == IsolationKeep && store.Spec.HoldsPermit:
		return "isolation Keep needs a store without holdsPermit: the unit would go on, and its store would not"
	}
	return ""
}

func validateFullCenter(path *field.Path, name, what string, lookup Lookup) field.ErrorList {
	center, ok := lookup.Center(name)
	switch {
	case !ok:
		return field.ErrorList{notFound(path, name, "must be the name of a declared Center")}
	case center.Spec.Role != CenterFull:
		return field.ErrorList{field.Invalid(path, name, fmt.Sprintf(
			"is a center with role %s: %s must be in a Full center", center.Spec.Role, what))}
	}
	return nil
}

// validateClusterLabels finds a cell whose last cluster goes when a cluster gets other labels, or is deleted (now is
// nil).
func validateClusterLabels(path *field.Path, value any, was, now *Cluster, lookup Lookup) field.ErrorList {
	var others []*Cluster
	for cluster := range lookup.Clusters() {
		if cluster.Name != was.Name && cluster.Spec.Center == was.Spec.Center {
			others = append(others, cluster)
		}
	}
	for unitization := range lookup.Unitizations() {
		for i := range unitization.Spec.Units {
			unit := &unitization.Spec.Units[i]
			for j := range unit.Cells {
				cell := &unit.Cells[j]
				if cell.Center != was.Spec.Center || !selects(cell, was) || now != nil && selects(cell, now) ||
					slices.ContainsFunc(others, func(c *Cluster) bool { return selects(cell, c) }) {
					continue
				}
				return field.ErrorList{field.Invalid(path, value, fmt.Sprintf(
					"cell %q of unitization %q would have no cluster: change the cell first",
					cellName(unit.Name, cell.Center), unitization.Name))}
			}
		}
	}
	return nil
}

// selects says whether a cell runs in a cluster of its center. A selector that is not valid selects nothing.
func selects(cell *Cell, cluster *Cluster) bool {
	if cell.Clusters == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(cell.Clusters)
	return err == nil && selector.Matches(labels.Set(cluster.Labels))
}
