package ledger

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/unitization/fence"
)

// role is what a member is to the others.
type role int

const (
	// replica copies from a primary, or from nobody.
	replica role = iota
	// claiming asks a majority to refuse lower tokens and to tell what they hold.
	claiming
	// primary replicates its log; it takes writes when it is open, and has a permit.
	primary
)

func (r role) String() string { return [...]string{"replica", "claiming", "primary"}[r] }

// core is a member without its sockets and goroutines: what it knows, and what becomes of that by each call and
// message. It is not safe for concurrent use. Writes to the disk happen within its methods, so that whatever it says is
// on disk is.
type core struct {
	store, self string
	majority    int
	disk        disk
	// permit says under which token this member may accept writes, and how long still.
	permit func() (token uint64, left time.Duration, named bool)
	now    func() record.Time
	broken breakage
	// asynchronous is as in Config.
	asynchronous bool

	token     uint64 // the highest seen; on disk
	log       []entry
	ids       map[string]uint64
	shards    map[uint32][]uint64
	committed uint64

	role role
	// since and stint are the tokens under which this member claimed, and is primary now: an open raises the token of a
	// primary that was promoted under a lower one.
	since, stint uint64
	// open says that the primary is to take writes as soon as it can.
	open bool
	// begins is the index of the entry with which the stint began; 0: not written yet. What came before counts as
	// acknowledged when that does (Raft, 5.4.2).
	begins  uint64
	links   map[string]*link
	waiting map[uint64][]func(result)

	heard     string // the last primary heard of
	problem   string
	accepting uint64 // 1 + the token under which writes are taken; 0: none are
}

// link is what a claiming member or a primary knows of another.
type link struct {
	claimed bool
	// probing says that it is not known where the logs part; one message is under way then, if asked.
	probing, asked bool
	next, matched  uint64
	told           uint64
}

// result is the outcome of a write.
type result struct {
	at       fence.Position
	token    uint64
	repeated bool
	err      error
}

// diskError is thrown when the disk fails: what is on it is unknown then, and the member must end.
type diskError struct{ err error }

func (c *core) must(err error) {
	if err != nil {
		panic(diskError{err})
	}
}

func newCore(store, self string, peers []string, d disk, entries []entry, token uint64) *core {
	c := &core{
		store: store, self: self, majority: (len(peers)+1)/2 + 1, disk: d, token: token,
		ids: map[string]uint64{}, shards: map[uint32][]uint64{}, links: map[string]*link{},
		waiting: map[uint64][]func(result){},
	}
	for _, p := range peers {
		c.links[p] = &link{}
	}
	for _, e := range entries {
		c.push(e)
	}
	return c
}

func (c *core) last() uint64 { return uint64(len(c.log)) }

// tokenAt is the token of an entry; 0 where there is none.
func (c *core) tokenAt(index uint64) uint64 {
	if index == 0 || index > c.last() {
		return 0
	}
	return c.log[index-1].token
}

func (c *core) position() fence.Position {
	return fence.Position{Epoch: c.tokenAt(c.last()), Index: c.last()}
}

func (c *core) positionProto() *ledgerpb.Position {
	return &ledgerpb.Position{Epoch: c.tokenAt(c.last()), Index: c.last()}
}

func (c *core) push(e entry) {
	c.log = append(c.log, e)
	if e.id != "" {
		c.ids[e.id] = c.last()
		c.shards[e.shard] = append(c.shards[e.shard], c.last())
	}
}

// cut drops all entries after index.
func (c *core) cut(index uint64) {
	if index >= c.last() {
		return
	}
	if index < c.committed {
		panic(fmt.Sprintf("%s of %s: entry %d is acknowledged and would be dropped", c.self, c.store, c.committed))
	}
	c.must(c.disk.truncate(int(index)))
	for _, e := range c.log[index:] {
		if e.id != "" {
			delete(c.ids, e.id)
			s := c.shards[e.shard]
			c.shards[e.shard] = slices.DeleteFunc(s, func(i uint64) bool { return i > index })
		}
	}
	clear(c.log[index:])
	c.log = c.log[:index]
}

// keep has a token on disk before anything is done with it (rule 15 of ownership).
func (c *core) keep(token uint64) {
	if token <= c.token {
		return
	}
	if !c.broken.has(brokenKeep) {
		c.must(c.disk.keep(token))
	}
	c.token = token
	c.must(c.disk.note(Event{What: Kept, At: c.now(), Store: c.store, Member: c.self, Token: token}))
}

// ready says that the primary's log is acknowledged up to its own first entry.
func (c *core) ready() bool { return c.role == primary && c.begins > 0 && c.committed >= c.begins }

// permitted is what is left of a permit under the token of the stint.
func (c *core) permitted() time.Duration {
	token, left, named := c.permit()
	if !named || token != c.stint {
		return 0
	}
	return left
}

// accepts says whether writes are taken at this moment.
func (c *core) accepts() bool {
	return c.ready() && c.open && (c.permitted() > 0 || c.broken.has(brokenPermit))
}

// refresh notes when the member begins and ends to take writes. It is called after each change, and now and then.
func (c *core) refresh() {
	is := uint64(0)
	if c.accepts() {
		is = c.stint + 1
	}
	if is == c.accepting {
		return
	}
	event := Event{At: c.now(), Store: c.store, Member: c.self}
	if was := c.accepting; was != 0 {
		closed := event
		closed.What, closed.Token, closed.Why = Closed, was-1, "ordered"
		if c.ready() && c.open && c.stint == was-1 {
			closed.Why = "no permit"
			if token, left, named := c.permit(); named && token == c.stint && left < 0 {
				closed.At = closed.At.Add(left) // that is when it ended
			}
		}
		c.must(c.disk.note(closed))
	}
	if is != 0 {
		event.What, event.Token = Opened, is-1
		c.must(c.disk.note(event))
	}
	c.accepting = is
}

// due says whether tick or refresh have something to do: they are looked at often, and seldom do.
func (c *core) due() bool {
	_, left, named := c.permit()
	return c.role == replica && named && left > 0 || c.accepts() != (c.accepting != 0) || c.broken.has(brokenFirst)
}

// tick makes the member that its permit names the primary, if it is not: it has restarted since it was opened, or
// nobody ever opened it, before the first switchover. The permit must bear the token that the member keeps: one of
// before a fence gives nothing back. A member that has never kept a token and holds nothing takes the permit's as its
// first.
func (c *core) tick() {
	if c.broken.has(brokenFirst) {
		c.must(c.disk.sync())
	}
	token, left, named := c.permit()
	if c.role != replica || !named || left <= 0 {
		return
	}
	if token == c.token || c.token == 0 && c.last() == 0 {
		c.keep(token)
		c.claim(token, true)
	}
}

// stepDown makes a replica of the member. Writes that wait may or may not be acknowledged by who comes next.
func (c *core) stepDown(why string) {
	if c.role == replica {
		return
	}
	c.role, c.open, c.begins, c.problem = replica, false, 0, ""
	waiting := c.waiting
	c.waiting = map[uint64][]func(result){}
	for _, all := range waiting {
		for _, done := range all {
			done(result{err: fmt.Errorf("%w: %s", ErrUnknown, why)})
		}
	}
}

var (
	// ErrNotPrimary says that the member takes no writes, and has not written.
	ErrNotPrimary = errors.New("takes no writes")
	// ErrUnknown says that the member was closed before the write was acknowledged: it may or may not be there.
	ErrUnknown = errors.New("closed before the write was acknowledged")
)
