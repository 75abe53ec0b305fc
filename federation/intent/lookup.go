package intent

import (
	"iter"

	"pentad.dev/pentad/crds/v1alpha1"
)

// Clusters implements v1alpha1.Lookup.
func (o objects) Clusters() iter.Seq[*v1alpha1.Cluster] {
	return decoded[*v1alpha1.Cluster](o, v1alpha1.KindCluster)
}

// Store implements v1alpha1.Lookup.
func (o objects) Store(name string) (*v1alpha1.Store, bool) {
	return find[*v1alpha1.Store](o, v1alpha1.KindStore, name)
}

// Stores implements v1alpha1.Lookup.
func (o objects) Stores() iter.Seq[*v1alpha1.Store] {
	return decoded[*v1alpha1.Store](o, v1alpha1.KindStore)
}

// Unitization implements v1alpha1.Lookup.
func (o objects) Unitization(name string) (*v1alpha1.Unitization, bool) {
	return find[*v1alpha1.Unitization](o, v1alpha1.KindUnitization, name)
}

// Unitizations implements v1alpha1.Lookup.
func (o objects) Unitizations() iter.Seq[*v1alpha1.Unitization] {
	return decoded[*v1alpha1.Unitization](o, v1alpha1.KindUnitization)
}

// Switchovers implements v1alpha1.Lookup.
func (o objects) Switchovers() iter.Seq[*v1alpha1.Switchover] {
	return decoded[*v1alpha1.Switchover](o, v1alpha1.KindSwitchover)
}

// find is an object in its Go type.
func find[T v1alpha1.Object](o objects, kind, name string) (T, bool) {
	var none T
	object, ok := o.get(kind, name)
	if !ok {
		return none, false
	}
	typed, ok := object.decoded.(T)
	return typed, ok
}
