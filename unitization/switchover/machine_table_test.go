package switchover

import (
	"fmt"
	"strings"
	"time"
)

// machineTable runs the real machine for the explorer, and remembers: the world around it takes millions of steps, the
// machine itself has few states. Worlds hold a state by its number.
type machineTable struct {
	broken breakage
	states []State
	facts  []facts
	index  map[string]uint16
	memo   map[step]uint16
	views  []view
	orders []Order
}

// step is an event in a state. The event is a function of the state and of the action that brings it.
type step struct {
	state uint16
	event action
}

// facts is what the world reads of a state.
type facts struct {
	view, order uint8 // numbers; order 0: none
	epoch       uint8
	primary     int8 // that may have a permit; -1: none
	phases      [3]Phase
	freezes     [3]uint8
	// open are the sessions, by start, that are open in a and b; firstClosed is that the first one in a is closed.
	open        [2]uint8
	firstClosed bool
	// restored is 1 while a restored state waits for the end of permits, 2 while it waits for stores or people, found
	// that its store can be decided.
	restored uint8
	found    bool
}

// view is what holders read of the map: the two shards.
type view [2]shardView

type shardView struct {
	since, cells, left uint8 // cells and left are sets of centers
	frozen             bool
}

func newMachineTable(start State, broken breakage) *machineTable {
	t := &machineTable{broken: broken, index: map[string]uint16{}, memo: map[step]uint16{}, views: make([]view, 1),
		orders: make([]Order, 1)}
	t.number(start)
	return t
}

// apply is the state after an event; the same when it has no effect, or is refused.
func (t *machineTable) apply(from uint16, name action, event func() Event) uint16 {
	key := step{from, name}
	if to, ok := t.memo[key]; ok {
		return to
	}
	to := from
	if e := event(); e != nil {
		if next, problems := apply(t.states[from], e, t.broken); len(problems) == 0 {
			to = t.number(next)
		}
	}
	if t.facts[to].epoch < t.facts[from].epoch {
		panic("the epoch goes back")
	}
	t.memo[key] = to
	return to
}

func (t *machineTable) number(s State) uint16 {
	encoded, err := s.Encode()
	if err != nil {
		panic(err)
	}
	if n, ok := t.index[string(encoded)]; ok {
		return n
	}
	if len(t.states) == 1<<16-1 {
		panic("too many states of the machine")
	}
	if err := s.Check(); err != nil && t.broken == 0 {
		panic(err)
	}
	n := uint16(len(t.states))
	t.index[string(encoded)] = n
	t.states = append(t.states, s)
	t.facts = append(t.facts, t.read(s))
	return n
}

func (t *machineTable) read(s State) facts {
	f := facts{epoch: uint8(s.Epoch), primary: -1}
	var v view
	for shard := range v {
		r, _ := s.MapAt("users", shard)
		v[shard] = shardView{since: uint8(r.Since), cells: centersOf(r.Cells), left: centersOf(r.Left),
			frozen: r.Frozen}
	}
	f.view = intern(&t.views, v)
	if store := s.Stores["s"]; store != nil {
		if store.Order != nil {
			f.order = intern(&t.orders, *store.Order)
		}
		if store.Accepting {
			f.primary = int8(strings.Index(centers, store.Primary))
		}
	}
	for i, name := range switchoverNames {
		if sw := s.Switchovers[name]; sw != nil {
			f.phases[i], f.freezes[i] = sw.Phase, uint8(sw.Freeze)
		}
	}
	if s.Restored != nil {
		f.restored = 1
		if s.Restored.Waited {
			f.restored = 2
		}
		d := draft{State: s, broken: t.broken}
		if r := s.recovery("s"); r != nil && r.Phase == PhaseFencing {
			target, _ := d.found("s")
			f.found = target != ""
		}
	}
	for i := range f.open {
		for start := 1; start <= 2; start++ {
			if session := s.Sessions[relaySession(i, start).ID]; session != nil && !session.Closed {
				f.open[i] |= 1 << start
			} else if session != nil && i == 0 && start == 1 {
				f.firstClosed = true
			}
		}
	}
	return f
}

// intern gives equal values equal numbers. Number 0 is taken by the zero value.
func intern[T comparable](list *[]T, value T) uint8 {
	for i, have := range *list {
		if i > 0 && have == value {
			return uint8(i)
		}
	}
	*list = append(*list, value)
	if len(*list) > 255 {
		panic(fmt.Sprintf("too many of %T", value))
	}
	return uint8(len(*list) - 1)
}

// centers are the three centers of the explored estate by their index, each its own region; switchoverNames those that
// a scenario may declare.
const centers = "abc"

var switchoverNames = [3]string{"x", "y", "z"}

func centersOf(cells []string) uint8 {
	var set uint8
	for _, cell := range cells {
		set |= 1 << strings.Index(centers, CellCenter(cell))
	}
	return set
}

// exploredEstate is where every scenario starts: two shards, one of unit u and one of unit v, in store s with its
// primary in a, or two of unit u.
func exploredEstate(c scenario) (World, State) {
	units := []Unit{{Name: "u", Owns: true, Baseline: []Shards{{0, 1}}, Store: "s"}}
	baseline := []Range{{From: 0, To: 1, Unit: "u"}}
	if c.twoUnits {
		units = []Unit{{Name: "u", Owns: true, Baseline: []Shards{{0, 0}}, Store: "s"},
			{Name: "v", Owns: true, Baseline: []Shards{{1, 1}}, Store: "s"}}
		baseline = []Range{{From: 0, To: 0, Unit: "u"}, {From: 1, To: 1, Unit: "v"}}
	}
	world := World{Centers: map[string]Center{}, Stores: map[string]StoreBaseline{"s": {Primary: "a"}}}
	var members []string
	for i, center := range strings.Split(centers, "") {
		world.Centers[center] = Center{Region: center, Full: true, Open: true}
		if i < c.members {
			members = append(members, center)
		}
		for u := range units {
			units[u].Cells = append(units[u].Cells, Cell{Center: center, Standby: i > 0})
		}
	}
	if c.members == 0 {
		units[0].Store, world.Stores = "", nil
	}
	for i := range baseline {
		for _, center := range strings.Split(c.active, "") {
			baseline[i].Cells = append(baseline[i].Cells, CellName(baseline[i].Unit, center))
		}
	}
	world.Unitizations = map[string]Unitization{"users": {Shards: 2, Units: units}}
	var s State
	for _, e := range []Event{
		DeclareStore{Store: "s", Members: members, Primary: c.primary, Synchronous: c.synchronous,
			HoldsPermit: c.holdsPermit},
		DeclareMap{Unitization: "users", Shards: 2, Permit: time.Second, Baseline: baseline},
		OpenSession{relaySession(0, 1)},
	} {
		s, _ = s.Apply(e)
	}
	if c.chains == 2 {
		s, _ = s.Apply(OpenSession{relaySession(1, 1)})
	}
	return world, s
}

// relaySession is that of the relay in a center: the first one's, or the one's that was started after it.
func relaySession(center, start int) Session {
	name := fmt.Sprintf("relay-%c", centers[center])
	return Session{ID: fmt.Sprintf("%s-%d", name, start), Holder: Relay, Name: name, Center: string(centers[center])}
}
