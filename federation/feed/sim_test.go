package feed

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"context"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// The simulator runs whole networks of writers, servers and relays without sockets: every choice comes from one seed, and
// after every step the oracle compares what each holder shows with what the writer's source was at the position that the
// holder claims.

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

// simLink carries one stream; what is under way is lost when it is cut.
type simLink struct {
	from, to  *simNode
	publish   bool
	peer      int // of to's chooser
	up        bool
	since     int
	starved   bool
	sender    *sender
	receiver  *receiver
	inS, inR  *inbox
	service   *publication
	down      [][]byte
	back      [][]byte
	remembers map[ID]Position
}

// simWriter is the owner of a feed: a source, and the agent that publishes it.
type simWriter struct {
	node    *simNode
	id      ID
	source  *state
	used    *uint64
	lease   bool
	skew    time.Duration
	begins  int
	awaited bool // the whole set is still to be pushed
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
	n := &simNode{name: name, relay: relay, disk: map[ID][]byte{}, dead: w.rng.IntN(4) - 1}
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
	return newChooser(len(n.sources), 2*time.Second, want, w.broken)
}

// connect opens a stream over a link.
func (w *world) connect(l *simLink) {
	w.cut(l)
	l.up, l.since = true, w.step
	l.inS, l.inR = newInbox(), newInbox()
	l.from.set.addWatcher(l.inS)
	l.to.set.addWatcher(l.inR)
	offers := func(lg *Log) bool { return !l.publish || lg.published() }
	l.sender = newSender(l.from.set, l.inS, offers)
	l.sender.remembers = l.remembers
	l.receiver = newReceiver(l.to.set, l.inR)
	l.receiver.jitter = w.rng.Float64
	l.receiver.validator = func(id ID, r *Record) error {
		if strings.HasPrefix(string(r.Value), "!") {
			return fmt.Errorf("bad value %q", r.Value)
		}
		return nil
	}
	if l.publish {
		l.receiver.fromWriter = true
		allow := func(context.Context, ID) error { return nil }
		svc, err := NewService(ServiceConfig{Set: l.to.set, Authorize: allow})
		if err != nil {
			panic(err)
		}
		l.service = &publication{ctx: context.Background(), service: svc, half: l.receiver, homes: map[ID]*Log{}}
	} else {
		l.to.chooser.connect(l.peer)
	}
}

func (w *world) cut(l *simLink) {
	if !l.up {
		return
	}
	l.up, l.down, l.back = false, nil, nil
	l.from.set.removeWatcher(l.inS)
	l.to.set.removeWatcher(l.inR)
	if l.publish {
		l.service.end()
		return
	}
	for _, id := range l.to.chooser.disconnect(l.peer) {
		w.decide(l.to, id)
	}
}

func (w *world) decide(n *simNode, id ID) {
	var held Position
	if l, ok := n.set.Get(id); ok {
		held = l.Position()
	}
	for _, s := range n.chooser.decide(id, held, w.clock) {
		if l := n.in[s.peer]; !l.up {
			continue
		} else if s.open {
			l.receiver.open(id, s.filter)
		} else {
			l.receiver.shut(id)
		}
	}
}

func (w *world) feeds() []ID { return []ID{"c/x", "c/y", IntentID} }

// decideAll is a follower's look around.
func (w *world) decideAll(n *simNode) {
	for _, id := range w.feeds() {
		for _, l := range n.in {
			if l.up {
				if in := l.receiver.feeds[id]; in != nil {
					n.chooser.delivered(l.peer, id, in.theirs, in.heard)
				}
			}
		}
		w.decide(n, id)
	}
}

// turn moves a link on by one message at one of its four ends; false: there was nothing to do.
func (w *world) turn(l *simLink, end int) bool {
	switch end {
	case 0:
		m := l.sender.next()
		if m == nil {
			return false
		}
		w.emits(l, m)
		l.down = append(l.down, encode(m))
	case 1:
		m := &feedpb.SenderMessage{}
		if !pop(&l.down, m) {
			return false
		}
		if l.starved && (m.GetFrame() != nil || m.GetProgresses() != nil) {
			return true
		}
		as, err := l.receiver.handle(m)
		if err != nil {
			w.fail("receiver: %v", err)
		}
		lost := l.receiver.lost
		l.receiver.lost = nil
		if l.publish {
			l.service.announced(as, lost)
			break
		}
		w.announced(l, as, lost)
	case 2:
		m := l.receiver.next()
		if m == nil {
			return false
		}
		l.back = append(l.back, encode(m))
	case 3:
		m := &feedpb.ReceiverMessage{}
		if !pop(&l.back, m) {
			return false
		}
		if err := l.sender.handle(m); err != nil {
			w.fail("sender: %v", err)
		}
	}
	return true
}

func (w *world) announced(l *simLink, as []*feedpb.Announcement, lost []ID) {
	for _, a := range as {
		id := ID(a.GetFeed())
		if a.GetGone() {
			l.to.chooser.gone(l.peer, id)
		} else {
			l.to.chooser.announced(l.peer, id, &offer{
				position: positionOf(a.GetPosition()), home: a.GetHome(), filter: filterOf(a.GetFilter())})
		}
		w.decide(l.to, id)
	}
	for _, id := range lost {
		l.to.chooser.refused(l.peer, id)
		w.decide(l.to, id)
	}
}

func encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func pop(queue *[][]byte, m proto.Message) bool {
	if len(*queue) == 0 {
		return false
	}
	if err := proto.Unmarshal((*queue)[0], m); err != nil {
		panic(err)
	}
	*queue = (*queue)[1:]
	return true
}

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

// begin takes a feed over as its owner does after a start, or when it heard of a later position.
func (w *world) begin(wr *simWriter) {
	l := wr.node.set.Log(wr.id)
	whole := wr.whole()
	now := int64((w.clock + wr.skew) / time.Millisecond)
	rnd := w.rng.Uint64()
	inc := NextIncarnation(now, *wr.used, l.Highest().Incarnation, rnd)
	if w.reuseIncarnation {
		inc = max(*wr.used, 1)
		if l.Highest().Incarnation >= inc {
			inc = NextIncarnation(now, *wr.used, l.Highest().Incarnation, 0)
		}
	}
	*wr.used = inc
	wr.begins++
	at := Position{inc, 1}
	w.history[wr.id][at] = maps.Clone(*wr.source)
	switch {
	case w.goesOn && !l.Position().IsZero():
		goOn(l, whole, at)
	case w.pushesEmpty:
		wr.awaited = true
		whole = nil
		fallthrough
	default:
		if _, err := l.Begin(inc, whole); err != nil {
			w.fail("begin: %v", err)
		}
	}
}

func (wr *simWriter) whole() []Change {
	var whole []Change
	for _, k := range wr.keys() {
		whole = append(whole, Change{k[0], k[1], []byte((*wr.source)[k])})
	}
	return whole
}

func (wr *simWriter) keys() [][2]string {
	return slices.SortedFunc(maps.Keys(*wr.source), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
}

// goOn breaks rule 2: it commits what differs from the old log, as a delta from it.
func goOn(l *Log, whole []Change, to Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.role = writing
	l.write(to, whole)
	l.advance(to)
}

// change makes the source change a few keys at once and its agent, if it is running, commit them as one step.
func (w *world) change(wr *simWriter) {
	var changes []Change
	for range 1 + w.rng.IntN(3) {
		k := [2]string{fmt.Sprint("K", w.rng.IntN(2)), string(rune('a' + w.rng.IntN(3)))}
		c := Change{Kind: k[0], Key: k[1]}
		if w.rng.IntN(3) > 0 {
			w.values++
			c.Value = fmt.Appendf(nil, "%s%d", []string{"", "!"}[w.rng.IntN(5)/4], w.values)
			(*wr.source)[k] = string(c.Value)
		} else {
			delete(*wr.source, k)
		}
		changes = append(changes, c)
	}
	for _, o := range w.writers {
		if o.id == wr.id {
			w.commit(o, changes)
		}
	}
}

func (w *world) commit(wr *simWriter, changes []Change) {
	l, ok := wr.node.set.Get(wr.id)
	if !ok || !l.published() || wr.awaited {
		return
	}
	pos, err := l.Commit(changes...)
	if err != nil {
		w.fail("commit: %v", err)
	}
	w.history[wr.id][pos] = maps.Clone(*wr.source)
}

// answer is the owner's: it starts, and it obeys rule 4.
func (w *world) answer(wr *simWriter) bool {
	l := wr.node.set.Log(wr.id)
	switch {
	case wr.awaited:
		wr.awaited = false
		pos, _ := l.Commit(wr.whole()...)
		w.history[wr.id][pos] = maps.Clone(*wr.source)
	case !l.published() && (wr.lease || !w.settling && w.rng.IntN(4) == 0):
		w.begin(wr)
	case !l.ahead().IsZero() && (wr.lease || w.ignoresLease):
		w.begin(wr)
	case !l.ahead().IsZero():
		l.Resign()
	default:
		return false
	}
	return true
}

// propose commits a change to the intent.
func (w *world) propose() {
	next := maps.Clone(w.intent[len(w.intent)-1])
	k := [2]string{"K1", string(rune('a' + w.rng.IntN(3)))}
	if w.values++; w.rng.IntN(2) == 0 {
		next[k] = fmt.Sprint(w.values)
	} else {
		delete(next, k)
	}
	w.intent = append(w.intent, next)
	w.history[IntentID][Position{7, uint64(len(w.intent) - 1)}] = next
}

// apply makes a server apply the intent's next revision.
func (w *world) apply(n *simNode) bool {
	if n.applied+1 >= len(w.intent) {
		return false
	}
	was, is := w.intent[n.applied], w.intent[n.applied+1]
	n.applied++
	var changes []Change
	for _, k := range [][2]string{{"K1", "a"}, {"K1", "b"}, {"K1", "c"}} {
		if v, ok := is[k]; ok {
			changes = append(changes, Change{k[0], k[1], []byte(v)})
		} else if _, ok := was[k]; ok {
			changes = append(changes, Change{Kind: k[0], Key: k[1]})
		}
	}
	if err := n.set.Log(IntentID).CommitAt(Position{7, uint64(n.applied)}, changes...); err != nil {
		w.fail("%s: %v", n.name, err)
	}
	return true
}

// rebuild gives a restarted server its intent back: from the first entry, or from a snapshot.
func (w *world) rebuild(n *simNode) {
	n.applied = w.rng.IntN(n.applied+1) * w.rng.IntN(2)
	if n.applied == 0 {
		return
	}
	var whole []Change
	for k, v := range w.intent[n.applied] {
		whole = append(whole, Change{k[0], k[1], []byte(v)})
	}
	l := n.set.Log(IntentID)
	if err := l.Restart(Position{7, uint64(n.applied)}, whole); err != nil {
		w.fail("%s: %v", n.name, err)
	}
	if w.keepsFloor {
		l.floor = Position{Incarnation: 7}
	}
}

// mistake makes a holder lose a record, as a bug would, and makes its own seal fit.
func (w *world) mistake() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	l, ok := n.set.Get(w.feeds()[w.rng.IntN(3)])
	if !ok || l.Writing() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.table.root.next; x != &l.table.root {
		delete(l.table.kinds[x.Kind].keys, x.Key)
		l.table.unlink(x)
	}
}

func (w *world) fail(format string, args ...any) {
	panic(violation{w.step, fmt.Sprintf(format, args...)})
}

// simulate runs one network and returns what the oracle found, or nil.
func simulate(p plan, seed uint64) (found error, steps int) {
	w := newWorld(p, seed)
	defer func() {
		steps = w.step
		switch v := recover().(type) {
		case nil:
		case violation:
			found = v
		default:
			panic(v)
		}
	}()
	w.disturb()
	w.settle()
	return nil, 0
}

func TestNetworksKeepEveryRule(t *testing.T) {
	for _, c := range []struct {
		name  string
		plan  plan
		seeds uint64
	}{
		{"all rules", plan{}, 150},
		{"without seals", plan{broken: sealNotCompared}, 150},
		{"restless", plan{restless: true, broken: sealNotCompared}, 100},
		{"home starved", plan{broken: sealNotCompared, starve: true}, 60},
		{"rival writer", plan{rivals: true, broken: sealNotCompared}, 60},
		{"batches lost", plan{lossy: true, broken: sealNotCompared, tamper: losesBatches}, 60},
		{"records lost", plan{mistakes: true}, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range seedsFrom(t, c.seeds) {
				if err, _ := simulate(c.plan, seed); err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
			}
		})
	}
}
