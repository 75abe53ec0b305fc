package v1alpha1

import (
	"iter"
	"maps"
	"slices"
)

// declared is a Lookup.
type declared struct {
	centers      map[string]*Center
	clusters     map[string]*Cluster
	policies     map[string]*ServicePolicy
	stores       map[string]*Store
	unitizations map[string]*Unitization
	switchovers  map[string]*Switchover
}

func (d declared) Center(name string) (*Center, bool) { c, ok := d.centers[name]; return c, ok }
func (d declared) Store(name string) (*Store, bool)   { s, ok := d.stores[name]; return s, ok }
func (d declared) Unitization(name string) (*Unitization, bool) {
	u, ok := d.unitizations[name]
	return u, ok
}
func (d declared) Centers() iter.Seq[*Center]           { return byName(d.centers) }
func (d declared) Clusters() iter.Seq[*Cluster]         { return byName(d.clusters) }
func (d declared) Policies() iter.Seq[*ServicePolicy]   { return byName(d.policies) }
func (d declared) Stores() iter.Seq[*Store]             { return byName(d.stores) }
func (d declared) Unitizations() iter.Seq[*Unitization] { return byName(d.unitizations) }
func (d declared) Switchovers() iter.Seq[*Switchover]   { return byName(d.switchovers) }

func (d declared) ClusterIn(center string) (string, bool) {
	for cluster := range d.Clusters() {
		if cluster.Spec.Center == center {
			return cluster.Name, true
		}
	}
	return "", false
}

func (d declared) PolicyOf(service string) (string, bool) {
	for policy := range d.Policies() {
		if policy.Spec.Service == service {
			return policy.Name, true
		}
	}
	return "", false
}

func byName[T any](objects map[string]T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			if !yield(objects[name]) {
				return
			}
		}
	}
}
