package intent

import (
	"fmt"
	"math/rand/v2"

	"k8s.io/apimachinery/pkg/types"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// traffic makes random commands: most as the API server makes them, some with fields that are not its to set, with
// wrong references, from an old state, and retries.
type traffic struct {
	*author
	sent [][]byte
	// units adds the kinds and the commands of units.
	units bool
	// members adds commands about servers.
	members bool
}

func newTraffic(seed uint64) *traffic { return &traffic{author: newAuthor(seed)} }

// one returns an encoded command; again says that it was returned before.
func (w *traffic) one(view View) (command []byte, again bool) {
	if len(w.sent) > 0 && w.rnd.IntN(8) == 0 {
		return w.sent[max(0, len(w.sent)-1-w.rnd.IntN(20))], true
	}
	c := encode(w.command(view))
	w.sent = append(w.sent, c)
	return c, false
}

func (w *traffic) command(view View) *intentpb.Command {
	if w.members && !chance(w.rnd, 3) {
		return w.memberCommand(view)
	}
	if w.units && !chance(w.rnd, 4) {
		return w.unitCommand(view)
	}
	object := w.object()
	kind, name := v1alpha1.KindOf(object), object.GetName()
	stored, ok := view.Get(kind, name)
	expect := uint64(1)
	if ok {
		expect = stored.Revision
	}
	if w.rnd.IntN(12) == 0 {
		expect -= min(expect-1, uint64(w.rnd.IntN(3)))
	}
	switch n := w.rnd.IntN(10); {
	case n < 2 && ok:
		return w.deletion(kind, name, expect)
	case n < 8 && ok:
		old := typed(stored)
		next := old.DeepCopyObject().(v1alpha1.Object)
		w.edit(next, object)
		prepare(next, old, view.Lookup())
		w.spoil(next)
		return w.replacement(kind, name, toJSON(next), expect)
	default:
		w.fresh(object, view.Lookup())
		w.spoil(object)
		return w.creation(kind, name, toJSON(object))
	}
}

// object is one of few names, so that commands meet.
func (w *traffic) object() v1alpha1.Object {
	n := w.rnd.IntN(6)
	switch w.rnd.IntN(3) {
	case 0:
		role := v1alpha1.CenterFull
		if w.rnd.IntN(3) == 0 {
			role = v1alpha1.CenterArbiter
		}
		return center(fmt.Sprintf("c%d", n), fmt.Sprintf("r%d", n/2), role)
	case 1:
		return cluster(fmt.Sprintf("k%d", n), fmt.Sprintf("c%d", w.rnd.IntN(7)))
	default:
		return policy(fmt.Sprintf("p%d", n), fmt.Sprintf("s%d", w.rnd.IntN(4)), w.tiers()...)
	}
}

func (w *traffic) tiers() []v1alpha1.FailoverTier {
	var tiers []v1alpha1.FailoverTier
	for range w.rnd.IntN(3) {
		switch n := w.rnd.IntN(7); w.rnd.IntN(3) {
		case 0:
			tiers = append(tiers, v1alpha1.FailoverTier{Scope: v1alpha1.ScopeRegion})
		case 1:
			tiers = append(tiers, v1alpha1.FailoverTier{Regions: []string{fmt.Sprintf("r%d", n/2)}})
		default:
			tiers = append(tiers, v1alpha1.FailoverTier{Centers: []string{fmt.Sprintf("c%d", n)}})
		}
	}
	return tiers
}

// edit changes the spec to that of another object, or labels, or annotations.
func (w *traffic) edit(object, other v1alpha1.Object) {
	switch w.rnd.IntN(4) {
	case 0:
		object.SetLabels(map[string]string{"l": fmt.Sprint(w.rnd.IntN(3)), "m": "x"})
	case 1:
		object.SetAnnotations(map[string]string{"a": fmt.Sprint(w.rnd.IntN(100))})
	default:
		v1alpha1.CopySpec(object, other)
		v1alpha1.Default(object)
	}
}

// spoil sets, now and then, a field that is the FSM's own.
func (w *traffic) spoil(object v1alpha1.Object) {
	if w.rnd.IntN(8) != 0 {
		return
	}
	switch w.rnd.IntN(5) {
	case 0:
		object.SetUID(types.UID(w.uid()))
	case 1:
		object.SetGeneration(object.GetGeneration() + int64(1+w.rnd.IntN(2)))
	case 2:
		object.SetResourceVersion("12")
	case 3:
		if c, ok := object.(*v1alpha1.Cluster); ok {
			c.Status.Region = "nowhere"
		}
	case 4:
		if c, ok := object.(*v1alpha1.Center); ok {
			c.Status.ObservedGeneration += 3
		}
	}
}

// chance is true once in n times.
func chance(rnd *rand.Rand, n int) bool { return rnd.IntN(n) == 0 }
