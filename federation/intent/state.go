package intent

import (
	"iter"
	"strings"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/switchover"
)

// revisionBits is the width of the counter below the incarnation in a revision.
const revisionBits = 31

// maxIncarnation keeps revisions within 63 bits, which is what API clients parse.
const maxIncarnation = 1<<32 - 1

// emptyRevision is the revision before the first command: a resourceVersion of 0 has another meaning to API clients.
const emptyRevision = 1

// state is everything that commands decide about, but for the answers. It is a value: a copy is a picture.
type state struct {
	// incarnation is 0 before the first command.
	incarnation uint64
	revision    uint64
	// applied is the Raft index of the last command.
	applied uint64
	objects
	// ownership is everything that decides who may write; the status of Stores, Unitizations and Switchovers shows it.
	ownership switchover.State
	members   membership
}

func newState() state {
	return state{revision: emptyRevision, objects: newObjects(), members: membership{level: firstLevel}}
}

// objects are all objects with what is needed to check references between them. It is immutable; it is a
// v1alpha1.Lookup.
type objects struct {
	// tree has the objects by kind, NUL, name.
	tree tree[*Object]
	// references has names by what the objects refer to: see referenceKey.
	references tree[string]
	world      *lazyWorld
	expiries   expiries
}

func newObjects() objects {
	return objects{world: &lazyWorld{}}
}

func key(kind, name string) string { return kind + "\x00" + name }

func (o objects) get(kind, name string) (*Object, bool) { return o.tree.get(key(kind, name)) }

// with is o with an object added, or put in the place of its predecessor.
func (o objects) with(object *Object) objects {
	tree, prev, replaced := o.tree.with(key(object.Kind, object.Name), object)
	next := objects{tree: tree, references: o.references, world: o.worldAfter(prev, object), expiries: o.expiries}
	k := referenceKey(object)
	if replaced {
		if was := referenceKey(prev); was != k {
			next = next.unrefer(was)
		} else {
			return next
		}
	}
	if k != "" {
		next.references, _, _ = next.references.with(k, object.Name)
	}
	return next
}

// without is o without an object that is in it.
func (o objects) without(object *Object) objects {
	tree := o.tree.without(key(object.Kind, object.Name))
	next := objects{tree: tree, references: o.references, world: o.worldAfter(object, nil), expiries: o.expiries}
	if object.Kind == v1alpha1.KindCluster {
		next.expiries = o.expiries.without(object.Name)
	}
	return next.unrefer(referenceKey(object))
}

func (o objects) unrefer(reference string) objects {
	if reference != "" {
		o.references = o.references.without(reference)
	}
	return o
}

// referenceKey is where an object is found by what it refers to; empty when nobody asks.
func referenceKey(object *Object) string {
	switch d := object.decoded.(type) {
	case *v1alpha1.Cluster:
		return object.Kind + "\x00" + d.Spec.Center + "\x00" + object.Name
	case *v1alpha1.ServicePolicy:
		return object.Kind + "\x00" + d.Spec.Service
	}
	return ""
}

// scan calls fn for the objects of a kind in the order of their names, from start on, until it says false.
func (o objects) scan(kind, start string, fn func(*Object) bool) {
	prefix := kind + "\x00"
	o.tree.from(key(kind, start), func(k string, object *Object) bool { return strings.HasPrefix(k, prefix) && fn(object) })
}

// Center implements v1alpha1.Lookup.
func (o objects) Center(name string) (*v1alpha1.Center, bool) {
	return find[*v1alpha1.Center](o, v1alpha1.KindCenter, name)
}

// Centers implements v1alpha1.Lookup.
func (o objects) Centers() iter.Seq[*v1alpha1.Center] {
	return decoded[*v1alpha1.Center](o, v1alpha1.KindCenter)
}

// Policies implements v1alpha1.Lookup.
func (o objects) Policies() iter.Seq[*v1alpha1.ServicePolicy] {
	return decoded[*v1alpha1.ServicePolicy](o, v1alpha1.KindServicePolicy)
}

// ClusterIn implements v1alpha1.Lookup.
func (o objects) ClusterIn(center string) (cluster string, ok bool) {
	prefix := v1alpha1.KindCluster + "\x00" + center + "\x00"
	o.references.from(prefix, func(k, name string) bool {
		if ok = strings.HasPrefix(k, prefix); ok {
			cluster = name
		}
		return false
	})
	return cluster, ok
}

// PolicyOf implements v1alpha1.Lookup.
func (o objects) PolicyOf(service string) (string, bool) {
	return o.references.get(v1alpha1.KindServicePolicy + "\x00" + service)
}

func decoded[T v1alpha1.Object](o objects, kind string) iter.Seq[T] {
	return func(yield func(T) bool) {
		o.scan(kind, "", func(object *Object) bool {
			d, ok := object.decoded.(T)
			return !ok || yield(d)
		})
	}
}
