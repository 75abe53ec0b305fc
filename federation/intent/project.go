package intent

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
)

// declared is what the intent feed says of an object: what relays and agents act on. Status, managed fields,
// annotations and timestamps stay out, so that a change of them moves nobody.
type declared struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        declaredMeta `json:"metadata"`
	Spec            any          `json:"spec"`
}

type declaredMeta struct {
	Name       string            `json:"name"`
	UID        types.UID         `json:"uid"`
	Generation int64             `json:"generation"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// declaration is an object's record value: JSON that decodes into the kind's Go type.
func (f *FSM) declaration(object *Object) []byte {
	if f.config.broken.has(brokenFeedSpecs) {
		return object.Value
	}
	d := declared{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: object.Kind},
		Metadata: declaredMeta{
			Name:       object.Name,
			UID:        object.decoded.GetUID(),
			Generation: object.decoded.GetGeneration(),
			Labels:     object.decoded.GetLabels(),
		},
	}
	switch o := object.decoded.(type) {
	case *v1alpha1.Center:
		d.Spec = o.Spec
	case *v1alpha1.Cluster:
		d.Spec = o.Spec
	case *v1alpha1.ServicePolicy:
		d.Spec = o.Spec
	case *v1alpha1.Store:
		d.Spec = o.Spec
	case *v1alpha1.Unitization:
		d.Spec = o.Spec
	}
	encoded, err := json.Marshal(d)
	if err != nil {
		panic(fmt.Sprintf("intent: %s %q: the declaration cannot be encoded: %v", object.Kind, object.Name, err))
	}
	return encoded
}

// sameDeclaration says that two objects of one name have the same declaration to the byte, without encoding it: most
// changes are of what is not in it. It may say no of two that are the same.
func sameDeclaration(a, b *Object) bool {
	x, y := a.decoded, b.decoded
	if x == nil || y == nil || x.GetUID() != y.GetUID() || x.GetGeneration() != y.GetGeneration() ||
		!maps.Equal(x.GetLabels(), y.GetLabels()) {
		return false
	}
	switch x := x.(type) {
	case *v1alpha1.Center:
		y, ok := y.(*v1alpha1.Center)
		return ok && x.Spec == y.Spec
	case *v1alpha1.Cluster:
		y, ok := y.(*v1alpha1.Cluster)
		return ok && reflect.DeepEqual(&x.Spec, &y.Spec)
	case *v1alpha1.ServicePolicy:
		y, ok := y.(*v1alpha1.ServicePolicy)
		return ok && reflect.DeepEqual(&x.Spec, &y.Spec)
	case *v1alpha1.Store:
		y, ok := y.(*v1alpha1.Store)
		return ok && reflect.DeepEqual(&x.Spec, &y.Spec)
	case *v1alpha1.Unitization:
		y, ok := y.(*v1alpha1.Unitization)
		return ok && reflect.DeepEqual(&x.Spec, &y.Spec)
	}
	return false
}

// position is where the feed stands: unknown before the first command.
func (s *state) position() feed.Position {
	if s.incarnation == 0 {
		return feed.Position{}
	}
	return feed.Position{Incarnation: s.incarnation, Seq: s.revision}
}

// restartFeed makes the feed what the state is. Nothing older is known, so the floor is the revision.
func (f *FSM) restartFeed() {
	var whole []feed.Change
	for _, kind := range v1alpha1.Kinds() {
		if !f.inFeed(kind) {
			continue
		}
		f.state.scan(kind, "", func(object *Object) bool {
			whole = append(whole, feed.Change{Kind: kind, Key: object.Name, Value: f.declaration(object)})
			return true
		})
	}
	o := f.state.ownership
	for _, name := range touched(nil, o.Maps) {
		whole = append(whole, ownershipChange(name, o.Maps[name]))
	}
	for _, name := range touched(nil, o.Stores) {
		if o.Stores[name].Order != nil {
			whole = append(whole, orderChange(name, o.Stores[name]))
		}
	}
	whole = append(whole, expiries(nil).livenessChanges(f.state.expiries)...)
	if f.config.broken.has(brokenFeedRestart) && !f.feed.Position().IsZero() {
		_ = f.feed.CommitAt(f.state.position(), whole...)
		return
	}
	if err := f.feed.Restart(f.state.position(), whole); err != nil {
		panic(fmt.Sprintf("intent: the feed cannot restart at revision %d: %v", f.state.revision, err))
	}
}

// same says whether the feed has the changes already.
func (f *FSM) same(changes []feed.Change) bool {
	for _, c := range changes {
		record, ok := f.feed.Get(c.Kind, c.Key)
		if ok != (c.Value != nil) || ok && string(record.Value) != string(c.Value) {
			return false
		}
	}
	return true
}
