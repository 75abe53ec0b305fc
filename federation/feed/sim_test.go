package feed

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// The simulator runs whole networks of writers, servers and relays without sockets: every choice comes from one seed,
// and after every step the oracle compares what each holder shows with what the writer's source was at the position
// that the holder claims.

// plan is what a simulated network suffers, and which rules it breaks.
type plan struct {
	broken breakage
	tamper func(*world) tamper
	// Rules of writers are broken in the simulated owner.
	reuseIncarnation, goesOn, pushesEmpty, ignoresLease bool
	// mistakes makes holders lose records, as a bug would; what is shown is then compared at the end only.
	mistakes bool
	// lossy makes receivers lose whole batches, as a bug would.
	lossy bool
	// starve cuts the data, and nothing else, of each relay's link to the home at the end.
	starve bool
	// keepsFloor rebuilds a server's intent from a snapshot without raising its floor.
	keepsFloor bool
	// rivals runs a second replica of the writer that has lost its lease.
	rivals bool
	// behind makes the writers' clocks run late and their agents forget what they used, at each restart.
	behind bool
	// clockOnly makes writers take their incarnations from their clocks alone.
	clockOnly bool
	// ownIncarnations gives each server an incarnation of its own for the intent.
	ownIncarnations bool
	// removes makes holders remove feeds.
	removes bool
	// restless makes restarts, snapshots and the intent's changes more frequent, and deliveries rarer.
	restless bool
	steps    int
}

// violation is what the oracle reports.
type violation struct {
	step int
	what string
}

func (v violation) Error() string { return fmt.Sprintf("step %d: %s", v.step, v.what) }

type state map[[2]string]string

// world is one simulated network.
type world struct {
	plan
	rng   *rand.Rand
	clock time.Duration
	step  int

	nodes    []*simNode
	links    []*simLink
	writers  []*simWriter
	history  map[ID]map[Position]state
	emitted  map[ID]map[Position]Position // the writer's position at each mark
	arrived  map[arrival]int              // step
	values   int
	settling bool
	// intent are the states of the replicated intent by revision; each server applies it by itself.
	intent []state
}

// arrival is a writer's mark that came to a node.
type arrival struct {
	node *simNode
	id   ID
	mark Position
}

type simNode struct {
	name    string
	set     *Set
	disk    map[ID][]byte
	ended   map[ID]Position // up to where it removed feeds, on disk too
	relay   bool
	sources []*simNode // whom it follows, nearest first
	chooser *chooser
	in      []*simLink // as sources
	want    Filter
	readers []*simReader
	shown   map[ID]version
	last    map[ID]Position
	fresh   map[ID]bool
	dead    int // tombstones kept
	server  bool
	applied int // revisions of the intent
}

type simReader struct {
	node   *simNode
	id     ID
	log    *Log
	cursor *Cursor
	state  state
	pos    Position
}

func newWorld(p plan, seed uint64) *world {
	w := &world{
		plan: p, rng: rand.New(rand.NewPCG(seed, 7)), clock: time.Hour,
		history: map[ID]map[Position]state{}, emitted: map[ID]map[Position]Position{}, arrived: map[arrival]int{},
	}
	if w.steps == 0 {
		w.steps = 1200
	}
	var servers, relays []*simNode
	for i := range 3 {
		servers = append(servers, w.node(fmt.Sprint("server", i), false))
		servers[i].server = true
	}
	for i := range 2 {
		relays = append(relays, w.node(fmt.Sprint("relay", i), true))
	}
	for _, to := range servers {
		for _, from := range servers {
			if from != to {
				w.follow(to, from)
			}
		}
	}
	for _, to := range relays {
		for _, i := range w.rng.Perm(3) {
			w.follow(to, servers[i])
		}
	}
	w.follow(relays[1], relays[0]) // a relay serves nobody in production; a filtered copy must show that it does not
	for i, id := range []ID{"c/x", "c/y"} {
		n := w.node("agent"+string(id[2:]), false)
		wr := &simWriter{node: n, id: id, source: &state{}, used: new(uint64), lease: true}
		w.writers = append(w.writers, wr)
		w.history[id], w.emitted[id] = map[Position]state{}, map[Position]Position{}
		for _, s := range servers {
			w.links = append(w.links, &simLink{from: n, to: s, publish: true})
		}
		w.links = append(w.links, &simLink{from: n, to: relays[i], publish: true})
		if p.rivals && i == 0 {
			r := w.node("rival", false)
			w.writers = append(w.writers, &simWriter{node: r, id: id, source: wr.source, used: wr.used})
			w.links = append(w.links, &simLink{from: r, to: servers[1], publish: true})
		}
	}
	w.history[IntentID], w.emitted[IntentID] = map[Position]state{}, map[Position]Position{}
	w.intent = []state{{}}
	for _, l := range w.links {
		l.remembers = map[ID]Position{}
	}
	for _, n := range w.nodes {
		n.chooser = w.chooser(n)
	}
	return w
}

func (w *world) node(name string, relay bool) *simNode {
	n := &simNode{name: name, relay: relay, disk: map[ID][]byte{}, ended: map[ID]Position{}, dead: w.rng.IntN(4) - 1}
	if n.dead == 0 {
		n.dead = -1
	}
	n.set = w.newSet(n)
	n.forget()
	w.nodes = append(w.nodes, n)
	return n
}

func (n *simNode) forget() {
	n.shown, n.last, n.fresh, n.readers = map[ID]version{}, map[ID]Position{}, map[ID]bool{}, nil
}

func (w *world) newSet(n *simNode) *Set {
	o := Options{
		Tombstones: TombstonePolicy{MaxCount: n.dead, MaxAge: -1}, Now: func() time.Duration { return w.clock },
		broken: w.broken, frameBytes: 1 + w.rng.IntN(2)*100, windowFrames: uint64(1 + w.rng.IntN(3)),
		bucketRecords: 1 + w.rng.IntN(2),
	}
	if w.tamper != nil {
		o.tamper = w.tamper(w)
	}
	set, err := OpenSet("", o)
	if err != nil {
		panic(err)
	}
	return set
}

func (w *world) follow(to, from *simNode) {
	l := &simLink{from: from, to: to, peer: len(to.in)}
	to.sources, to.in = append(to.sources, from), append(to.in, l)
	w.links = append(w.links, l)
}

func (w *world) chooser(n *simNode) *chooser {
	want := func(id ID) (Filter, bool) { return n.want, id != IntentID || n.relay }
	c := newChooser(len(n.sources), 2*time.Second, want, w.broken)
	c.ended = n.set.ended
	return c
}

// remove makes a server or a relay remove a feed for good, as far as it knows.
func (w *world) remove() {
	n, id := w.nodes[w.rng.IntN(5)], w.feeds()[w.rng.IntN(3)]
	l, ok := n.set.Get(id)
	if !ok || l.Writing() {
		return
	}
	if err := n.set.Remove(id); err != nil {
		w.fail("remove: %v", err)
	}
	n.ended = maps.Clone(n.set.removed)
	delete(n.disk, id)
	n.readers = slices.DeleteFunc(n.readers, func(r *simReader) bool { return r.log.Removed() })
}

func (w *world) feeds() []ID { return []ID{"c/x", "c/y", IntentID} }

// save writes a node's snapshot of a feed to its disk.
func (w *world) save(n *simNode, id ID) {
	l, ok := n.set.Get(id)
	if !ok || l.Position().IsZero() || n.server && id == IntentID {
		return
	}
	var b bytes.Buffer
	if _, err := l.writeSnapshot(&b); err != nil {
		panic(err)
	}
	n.disk[id] = b.Bytes()
}

// restart stops a node and starts it from its disk, of which a snapshot may be damaged.
func (w *world) restart(n *simNode) {
	for _, l := range w.links {
		if l.from == n || l.to == n {
			w.cut(l)
		}
	}
	n.set = w.newSet(n)
	n.set.removed = maps.Clone(n.ended)
	n.chooser = w.chooser(n)
	n.forget()
	maps.DeleteFunc(w.arrived, func(a arrival, _ int) bool { return a.node == n })
	if n.server {
		w.rebuild(n)
	}
	for _, id := range w.feeds() {
		b := n.disk[id]
		if b == nil {
			continue
		}
		damaged := w.rng.IntN(4) == 0
		if damaged {
			b = bytes.Clone(b)
			if w.rng.IntN(2) == 0 {
				b = b[:w.rng.IntN(len(b))]
			} else {
				b[w.rng.IntN(len(b))] ^= 1 << w.rng.IntN(8)
			}
		}
		l, err := readSnapshot(bytes.NewReader(b), n.set.opts)
		if damaged {
			if err == nil {
				w.fail("%s: damaged snapshot was read", n.name)
			}
			delete(n.disk, id)
			continue
		}
		if err != nil {
			w.fail("%s: good snapshot: %v", n.name, err)
			continue
		}
		l.observer = n.set.observe
		n.set.logs[id] = l
		n.last[id] = l.Position()
	}
}

func (w *world) fail(format string, args ...any) {
	panic(violation{w.step, fmt.Sprintf(format, args...)})
}
