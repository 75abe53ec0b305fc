package ledger

import (
	"fmt"
	"slices"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/unitization/fence"
)

const (
	// maxBatch bounds what one message carries, in bytes and in entries.
	maxBatchBytes = 256 << 10
	maxBatch      = 512
)

// write is a write that waits for its place in the log.
type write struct {
	*ledgerpb.Write
	done func(result)
}

// claim begins a stint: first the others refuse lower tokens and say what they hold, as voters do in Raft.
func (c *core) claim(token uint64, open bool) {
	c.stepDown("it claims anew")
	c.role, c.since, c.stint, c.open, c.begins, c.heard = claiming, token, token, open, 0, c.self
	for _, l := range c.links {
		*l = link{}
	}
	c.begin()
}

// begin makes a primary of a member that a majority has let claim.
func (c *core) begin() {
	claimed := 1
	for _, l := range c.links {
		if l.claimed {
			claimed++
		}
	}
	if c.role != claiming || claimed < c.majority {
		return
	}
	c.role, c.problem = primary, ""
	for _, l := range c.links {
		l.next, l.matched, l.probing, l.asked = c.last()+1, 0, true, false
	}
	if c.broken.has(brokenBegin) && c.last() > 0 {
		c.begins = c.last()
		c.advance()
		return
	}
	c.add(&ledgerpb.Entry{})
	c.begins = c.last()
	c.flush(c.last() - 1)
	c.advance()
}

// add puts an entry at the end of the log in memory.
func (c *core) add(e *ledgerpb.Entry) {
	e.Index, e.Token, e.AcceptedAt, e.AcceptedBy = c.last()+1, c.stint, int64(c.now()), c.self
	encoded, err := encodeEntry(e)
	if err != nil {
		panic(err) // what a service lets in is encodable
	}
	c.push(encoded)
}

// flush has all entries after index on disk. The primary does so before it sends any of them: its log holds every entry
// of its token that anybody has, so that it can go on under the same token after a restart.
func (c *core) flush(index uint64) {
	if index >= c.last() {
		return
	}
	var records [][]byte
	for _, e := range c.log[index:] {
		records = append(records, e.record)
	}
	c.must(c.disk.append(records))
	if !c.broken.has(brokenFirst) {
		c.must(c.disk.sync())
	}
}

// append takes writes: one write and one fsync for all of them.
func (c *core) append(writes []write) {
	before := c.last()
	for _, w := range writes {
		if !c.accepts() {
			w.done(result{err: c.refusal()})
			continue
		}
		at, repeated := c.ids[w.GetId()]
		if !repeated && w.GetSince() < c.stint && !c.broken.has(brokenOldSince) {
			w.done(result{err: fmt.Errorf("%w: %s is the primary under token %d, and the write was let in under epoch %d",
				ErrNotPrimary, c.self, c.stint, w.GetSince())})
			continue
		}
		if !repeated || c.broken.has(brokenDedup) {
			c.add(&ledgerpb.Entry{Write: w.Write})
			at, repeated = c.last(), false
		}
		done := func(r result) { r.repeated = repeated; w.done(r) }
		if at <= c.committed {
			done(c.acknowledge(at))
			continue
		}
		c.waiting[at] = append(c.waiting[at], done)
	}
	c.flush(before)
	c.advance()
}

func (c *core) refusal() error {
	switch {
	case c.role == replica:
		return fmt.Errorf("%w: %s is no primary", ErrNotPrimary, c.self)
	case !c.ready():
		return fmt.Errorf("%w: %s is not the primary yet", ErrNotPrimary, c.self)
	case !c.open:
		return fmt.Errorf("%w: %s is closed", ErrNotPrimary, c.self)
	}
	return fmt.Errorf("%w: %s has no permit under token %d", ErrNotPrimary, c.self, c.stint)
}

// acknowledge is the commit point: the entry is on a majority's disks, and the permit is looked at now.
func (c *core) acknowledge(index uint64) result {
	if !c.accepts() {
		return result{err: fmt.Errorf("%w: %w", ErrUnknown, c.refusal())}
	}
	return result{at: fence.Position{Epoch: c.tokenAt(index), Index: index}, token: c.stint}
}

// advance acknowledges what a majority has on disk, once the stint's own first entry is among it.
func (c *core) advance() {
	if c.role != primary {
		return
	}
	held := []uint64{c.last()}
	for _, l := range c.links {
		held = append(held, l.matched)
	}
	slices.Sort(held)
	n := held[len(held)-c.majority]
	if c.asynchronous {
		n = c.last()
	}
	if n < c.begins || n <= c.committed {
		return
	}
	from := c.committed
	c.committed = n
	for i := from + 1; i <= n; i++ {
		for _, done := range c.waiting[i] {
			done(c.acknowledge(i))
		}
		delete(c.waiting, i)
	}
}

// linked begins a new stream to a replica.
func (c *core) linked(peer string) {
	l := c.links[peer]
	l.probing, l.asked, l.next, l.told = true, false, c.last()+1, 0
}

// beat is called now and then: a claim or a probe is made again, and what was acknowledged since the last message is
// told.
func (c *core) beat(peer string) {
	l := c.links[peer]
	if c.role == claiming || l.probing {
		l.asked = false
	} else if l.told < c.committed {
		l.told = 0
	}
}

// next is the next message to a replica; nil: there is none now.
func (c *core) next(peer string) *ledgerpb.ReplicateRequest {
	l := c.links[peer]
	message := &ledgerpb.ReplicateRequest{Store: c.store, From: c.self, Token: c.stint}
	switch {
	case c.role == replica, (c.role == claiming || l.probing) && l.asked:
		return nil
	case c.role == claiming:
		l.asked, message.Claim = true, true
		return message
	case l.probing:
		l.asked = true
	case l.next > c.last() && (l.told != 0 || c.committed == 0):
		return nil
	}
	message.Prev = &ledgerpb.Position{Epoch: c.tokenAt(l.next - 1), Index: l.next - 1}
	message.Committed, l.told = c.committed, max(c.committed, 1)
	if !l.probing {
		message.Records = c.records(l.next)
		l.next += uint64(len(message.Records))
	}
	return message
}

// records are those from index on, as many as fit into a message.
func (c *core) records(index uint64) (records [][]byte) {
	for bytes := 0; index <= c.last() && len(records) < maxBatch && bytes < maxBatchBytes; index++ {
		records = append(records, c.log[index-1].record)
		bytes += len(c.log[index-1].record)
	}
	return records
}

// replicated takes a replica's answer. One to a message of another stint does not count.
func (c *core) replicated(peer string, r *ledgerpb.ReplicateResponse) {
	if r.GetKept() > c.token {
		c.keep(r.GetKept())
		c.stepDown(fmt.Sprintf("%s keeps token %d", peer, r.GetKept()))
	}
	if c.role == replica || r.GetToken() < c.since || r.GetToken() > c.stint {
		return
	}
	l := c.links[peer]
	switch {
	case r.GetClaim():
		if c.role == claiming && r.GetOk() {
			c.claimedBy(peer, r)
		}
	case c.role != primary:
	case r.GetOk():
		l.matched = max(l.matched, r.GetMatch())
		l.next = max(l.next, l.matched+1)
		l.probing = false
		c.advance()
	default:
		l.probing, l.asked = true, false
		l.next = min(max(l.matched, r.GetMatch()), c.last()) + 1
	}
}

// claimedBy counts a member that refuses lower tokens now. One that holds more than this member is a reason not to
// begin: there may be acknowledged writes that this member does not have.
func (c *core) claimedBy(peer string, r *ledgerpb.ReplicateResponse) {
	theirs := fence.Position{Epoch: r.GetPosition().GetEpoch(), Index: r.GetPosition().GetIndex()}
	if theirs.Compare(c.position()) > 0 && !c.broken.has(brokenClaim) {
		c.problem = fmt.Sprintf("%s holds %s, this member only %s: it must catch up first", peer, theirs, c.position())
		return
	}
	c.links[peer].claimed = true
	c.begin()
}
