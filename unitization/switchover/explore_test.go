package switchover

import (
	"fmt"
	"hash/maphash"
	"strings"
	"time"
)

// explorer goes breadth-first through every world that can be reached, so the first violation that it meets is the
// end of a shortest counterexample.
type explorer struct {
	c       scenario
	machine *machineTable
	world   World
	limit   int // states; 0: none

	found  numbers
	worlds []world
	from   []uint32 // the world that each was first reached from

	edges    [][2]uint32 // kept for liveness only
	violated string
}

// result is what an exploration found.
type result struct {
	states, machine, steps int
	took                   time.Duration
	complete               bool
	violated               string
	trace                  []string
	stuck                  string
}

func explore(c scenario, limit int) result {
	began := time.Now()
	declared, start := exploredEstate(c)
	x := &explorer{c: c, machine: newMachineTable(start, c.brokenMachine), world: declared, limit: limit,
		found: newNumbers()}
	r := x.run()
	r.took, r.states, r.machine = time.Since(began), len(x.worlds), len(x.machine.states)
	return r
}

func (x *explorer) run() (r result) {
	first := x.start()
	x.add(first, 0)
	for at := 0; at < len(x.worlds); at++ {
		if x.limit > 0 && len(x.worlds) >= x.limit {
			return r
		}
		w := x.worlds[at]
		var hit world
		x.each(w, func(_ action, next world) {
			if next == w {
				return
			}
			r.steps++
			to, known := x.found.of(next, x.worlds)
			if !known {
				to = x.add(next, uint32(at))
				if x.violated == "" {
					x.violated = x.invariants(next)
				}
			}
			if x.c.liveness {
				x.edges = append(x.edges, [2]uint32{uint32(at), to})
			}
			if x.violated != "" && r.violated == "" {
				r.violated, hit = x.violated, next
			}
		})
		if r.violated != "" {
			r.trace = x.trace(uint32(at), hit)
			return r
		}
	}
	r.complete = true
	if x.c.liveness {
		r.stuck = x.stuck()
	}
	return r
}

func (x *explorer) add(w world, from uint32) uint32 {
	n := uint32(len(x.worlds))
	x.worlds = append(x.worlds, w)
	x.found.add(n, x.worlds)
	x.from = append(x.from, from)
	return n
}

// trace names the actions from the start to the violation.
func (x *explorer) trace(at uint32, last world) []string {
	path := []world{last}
	for ; at != 0; at = x.from[at] {
		path = append(path, x.worlds[at])
	}
	path = append(path, x.worlds[0])
	var names []string
	for i := len(path) - 1; i > 0; i-- {
		done := false
		x.each(path[i], func(a action, next world) {
			if !done && next == path[i-1] {
				done = true
				names = append(names, a.String())
			}
		})
	}
	return names
}

// stuck names a world from which no end can be reached any more.
func (x *explorer) stuck() string {
	into := make([][]uint32, len(x.worlds))
	for _, e := range x.edges {
		into[e[1]] = append(into[e[1]], e[0])
	}
	reaches := make([]bool, len(x.worlds))
	var queue []uint32
	for i, w := range x.worlds {
		if x.over(w) {
			reaches[i] = true
			queue = append(queue, uint32(i))
		}
	}
	for len(queue) > 0 {
		at := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, before := range into[at] {
			if !reaches[before] {
				reaches[before] = true
				queue = append(queue, before)
			}
		}
	}
	for i := range reaches {
		if !reaches[i] {
			return strings.Join(append(x.trace(x.from[i], x.worlds[i]), fmt.Sprintf("%+v", x.worlds[i])), "\n")
		}
	}
	return ""
}

// over says whether every switchover of the scenario is done; one that is made again needs to be done once.
func (x *explorer) over(w world) bool {
	if x.c.losses > 0 {
		f := x.machine.facts[w.machine]
		return w.lost != 0 && f.restored == 0 && (len(x.c.requests) == x.c.after || f.phases[x.c.after] == PhaseDone)
	}
	done := 0
	for _, phase := range x.machine.facts[w.machine].phases {
		if phase == PhaseDone {
			done++
		}
	}
	return done == len(x.c.requests) || done == 1 && x.c.waits[1] == PhaseAborted
}

// numbers finds the number of a world: an open hash table of nothing but numbers, since worlds are many.
type numbers struct {
	seed  maphash.Seed
	slots []uint32 // number + 1
	used  int
}

func newNumbers() numbers { return numbers{seed: maphash.MakeSeed(), slots: make([]uint32, 1<<16)} }

func (n *numbers) slot(w world, worlds []world) *uint32 {
	mask := uint64(len(n.slots) - 1)
	for at := maphash.Comparable(n.seed, w) & mask; ; at = (at + 1) & mask {
		if have := n.slots[at]; have == 0 || worlds[have-1] == w {
			return &n.slots[at]
		}
	}
}

func (n *numbers) of(w world, worlds []world) (number uint32, known bool) {
	have := *n.slot(w, worlds)
	return have - 1, have != 0
}

func (n *numbers) add(number uint32, worlds []world) {
	if n.used*2 > len(n.slots) {
		old := n.slots
		n.slots = make([]uint32, 2*len(old))
		for _, have := range old {
			if have != 0 {
				*n.slot(worlds[have-1], worlds) = have
			}
		}
	}
	*n.slot(worlds[number], worlds) = number + 1
	n.used++
}

// action is what happens in a world: what, and to which center, switchover, write or token, as the case may be.
type action struct {
	what string
	a, b int
}

func (a action) String() string { return fmt.Sprintf("%s (%d, %d)", a.what, a.a, a.b) }
