package intent

import (
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// Object is a stored object at one revision. It is shared and immutable: Value must not be modified.
type Object struct {
	Kind, Name string
	// Value is the object's JSON as it was proposed, but for a status that the state machine writes; it has no
	// resourceVersion.
	Value []byte
	// Revision is that of the last change: the resourceVersion.
	Revision uint64
	// Created is the revision of the creation.
	Created uint64
	// decoded is Value in its Go type; nil for an unchecked kind.
	decoded v1alpha1.Object
}

// Event is one change of one object.
type Event struct {
	// Revision is the change's own. No two events share one.
	Revision   uint64
	Kind, Name string
	// Object is what the change made; nil when it deleted.
	Object *Object
	// Prev is what was there before; nil when the change created.
	Prev *Object
	// after is the state after the change: lists at an exact revision read it.
	after objects
	// statusOnly says that the state machine changed the status and nothing else.
	statusOnly bool
}

// Deleted says whether the change deleted the object.
func (e Event) Deleted() bool { return e.Object == nil }

func (o *Object) proto() *intentpb.Object {
	return &intentpb.Object{Kind: o.Kind, Name: o.Name, Value: o.Value, Revision: o.Revision, Created: o.Created}
}

func objectFromProto(m *intentpb.Object) *Object {
	return &Object{
		Kind: m.GetKind(), Name: m.GetName(), Value: m.GetValue(), Revision: m.GetRevision(), Created: m.GetCreated(),
	}
}
