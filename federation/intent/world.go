package intent

import (
	"sync"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/switchover"
)

// World is what a view declares, as far as plans need it. It is shared by all views with the same declarations, and
// must not be changed.
func World(view View) switchover.World { return world(view.objects) }

// Preview says what the state machine would have against a switchover that is being created, or the list of what is
// wrong with its plan: the API server asks before it proposes. It looks at no deadline, having no clock.
func Preview(view View, o *v1alpha1.Switchover) field.ErrorList {
	_, problems := switchover.MakePlan(World(view), view.ownership, request(o))
	return fieldErrors(problems)
}

// lazyWorld is a World that is made when it is first asked for. It hangs on the trees of objects that it is true of.
type lazyWorld struct {
	once  sync.Once
	world switchover.World
}

// shapes says that a World is made of objects of a kind.
func shapes(kind string) bool {
	return kind == v1alpha1.KindCenter || kind == v1alpha1.KindStore || kind == v1alpha1.KindUnitization
}

// worldAfter is the World of a tree in which prev became object, either may be nil: the same while nothing is declared
// anew.
func (o objects) worldAfter(prev, object *Object) *lazyWorld {
	changed := object
	if changed == nil {
		changed = prev
	}
	same := prev != nil && object != nil && prev.decoded != nil && object.decoded != nil &&
		prev.decoded.GetUID() == object.decoded.GetUID() &&
		prev.decoded.GetGeneration() == object.decoded.GetGeneration()
	if same || !shapes(changed.Kind) {
		return o.world
	}
	return &lazyWorld{}
}

func world(o objects) switchover.World {
	if o.world == nil { // the zero View
		return switchover.World{}
	}
	o.world.once.Do(func() { o.world.world = makeWorld(o) })
	return o.world.world
}

func makeWorld(o objects) switchover.World {
	w := switchover.World{
		Centers:      map[string]switchover.Center{},
		Unitizations: map[string]switchover.Unitization{},
		Stores:       map[string]switchover.StoreBaseline{},
	}
	for c := range o.Centers() {
		w.Centers[c.Name] = switchover.Center{
			Region: c.Spec.Region, Full: c.Spec.Role == v1alpha1.CenterFull,
			Open: c.Spec.Phase == v1alpha1.CenterOpen || c.Spec.Phase == "",
		}
	}
	for s := range o.Stores() {
		w.Stores[s.Name] = switchover.StoreBaseline{Primary: s.Spec.Primary}
	}
	for u := range o.Unitizations() {
		w.Unitizations[u.Name] = declaredUnits(u)
	}
	return w
}

func declaredUnits(o *v1alpha1.Unitization) switchover.Unitization {
	u := switchover.Unitization{Shards: int(o.Spec.Shards)}
	for i := range o.Spec.Units {
		unit := &o.Spec.Units[i]
		d := switchover.Unit{
			Name: unit.Name, Owns: unit.Type != v1alpha1.UnitCity, Baseline: shardsOf(unit), Store: unit.Store,
		}
		for _, c := range unit.Cells {
			d.Cells = append(d.Cells, switchover.Cell{Center: c.Center, Standby: c.Standby})
		}
		u.Units = append(u.Units, d)
	}
	return u
}
