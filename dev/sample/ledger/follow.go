package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/unitization/fence"
)

// replicate takes a message of a primary, or of who claims to become it.
func (c *core) replicate(m *ledgerpb.ReplicateRequest) (*ledgerpb.ReplicateResponse, error) {
	answer := &ledgerpb.ReplicateResponse{
		Token: m.GetToken(), Kept: c.token, Claim: m.GetClaim(), Position: c.positionProto(),
	}
	if m.GetToken() < c.token && !c.broken.has(brokenCompare) {
		return answer, nil
	}
	if c.role != replica && m.GetToken() == c.stint {
		return nil, fmt.Errorf("%s claims token %d, which is %s's", m.GetFrom(), m.GetToken(), c.self)
	}
	c.keep(m.GetToken())
	c.stepDown(fmt.Sprintf("%s is primary under token %d", m.GetFrom(), m.GetToken()))
	answer.Kept, c.heard = c.token, m.GetFrom()
	if m.GetClaim() {
		answer.Ok = true
		return answer, nil
	}
	prev := m.GetPrev()
	if c.tokenAt(prev.GetIndex()) != prev.GetEpoch() || prev.GetIndex() > c.last() {
		answer.Match = c.parting(prev)
		return answer, nil
	}
	if err := c.graft(prev.GetIndex(), m.GetRecords()); err != nil {
		return nil, err
	}
	answer.Ok, answer.Match = true, prev.GetIndex()+uint64(len(m.GetRecords()))
	c.committed = max(c.committed, min(m.GetCommitted(), answer.Match))
	answer.Position = c.positionProto()
	return answer, nil
}

// parting is an index below prev at which the logs may be one: this member's entries of another token than prev's are
// skipped all at once (Raft, 5.3).
func (c *core) parting(prev *ledgerpb.Position) uint64 {
	index := min(prev.GetIndex(), c.last())
	if index < prev.GetIndex() {
		return index
	}
	other := c.tokenAt(index)
	for index > 0 && c.tokenAt(index) == other {
		index--
	}
	return index
}

// graft writes records after index. Those that are there already stay; at the first that differs the rest is dropped.
func (c *core) graft(index uint64, records [][]byte) error {
	fresh := make([]entry, 0, len(records))
	for i, record := range records {
		at := index + uint64(i) + 1
		e, _, err := decodeEntry(record, at)
		if err != nil {
			return err
		}
		if len(fresh) == 0 && c.tokenAt(at) == e.token && at <= c.last() {
			if !bytes.Equal(c.log[at-1].record, record) {
				panic(fmt.Sprintf("%s of %s: entry %d of token %d is two entries", c.self, c.store, at, e.token))
			}
			continue
		}
		if len(fresh) == 0 {
			c.cut(at - 1)
		}
		fresh = append(fresh, e)
	}
	if len(fresh) == 0 {
		return nil
	}
	var whole [][]byte
	for _, e := range fresh {
		c.push(e)
		whole = append(whole, e.record)
	}
	c.must(c.disk.append(whole))
	if !c.broken.has(brokenSync) {
		c.must(c.disk.sync())
	}
	return nil
}

// fetch serves a member that catches up: only what cannot grow any more under a lower token.
func (c *core) fetch(r *ledgerpb.FetchRequest) *ledgerpb.FetchResponse {
	answer := &ledgerpb.FetchResponse{Kept: c.token, Position: c.positionProto(), Committed: c.committed}
	if c.token < r.GetToken() {
		return answer
	}
	after := r.GetAfter()
	if after.GetIndex() > c.last() || c.tokenAt(after.GetIndex()) != after.GetEpoch() {
		answer.Match = c.parting(after)
		return answer
	}
	answer.Ok, answer.Records = true, c.records(after.GetIndex()+1)
	return answer
}

// catching is a member's way to a position.
type catching struct {
	token uint64
	to    fence.Position
	after uint64
}

// fetching is what to ask next; ok is false when there is no need to, or no right any more.
func (c *core) fetching(w *catching) (r *ledgerpb.FetchRequest, ok bool) {
	if c.token != w.token || c.role != replica || c.position().Compare(w.to) >= 0 {
		return nil, false
	}
	w.after = min(w.after, c.last())
	return &ledgerpb.FetchRequest{
		Store: c.store, Token: w.token, After: &ledgerpb.Position{Epoch: c.tokenAt(w.after), Index: w.after},
	}, true
}

var errPoorSource = errors.New("cannot be copied from")

// fetched takes what a member holds that was fenced, and holds all that is wanted: so whatever differs from it here was
// never acknowledged.
func (c *core) fetched(w *catching, peer string, asked *ledgerpb.FetchRequest, r *ledgerpb.FetchResponse) error {
	if c.token != w.token || c.role != replica {
		return fmt.Errorf("%w: superseded", errPoorSource)
	}
	after := asked.GetAfter()
	same := after.GetIndex() <= c.last() && c.tokenAt(after.GetIndex()) == after.GetEpoch()
	if !same && !c.broken.has(brokenChanged) {
		w.after = min(w.after, c.last())
		return nil // another source was quicker: this log is not what it was; ask again
	}
	theirs := fence.Position{Epoch: r.GetPosition().GetEpoch(), Index: r.GetPosition().GetIndex()}
	switch {
	case r.GetKept() < w.token:
		return fmt.Errorf("%w: %s still takes token %d", errPoorSource, peer, r.GetKept())
	case theirs.Compare(w.to) < 0:
		return fmt.Errorf("%w: %s holds %s, wanted is %s", errPoorSource, peer, theirs, w.to)
	case theirs.Compare(c.position()) <= 0:
		return fmt.Errorf("%w: %s holds %s, no more than this member", errPoorSource, peer, theirs)
	case !r.GetOk():
		if w.after == 0 {
			return fmt.Errorf("%w: %s has no beginning", errPoorSource, peer)
		}
		w.after = min(r.GetMatch(), w.after-1)
		return nil
	case len(r.GetRecords()) == 0:
		return fmt.Errorf("%w: %s sends nothing", errPoorSource, peer)
	}
	if err := c.graft(asked.GetAfter().GetIndex(), r.GetRecords()); err != nil {
		return err
	}
	w.after = asked.GetAfter().GetIndex() + uint64(len(r.GetRecords()))
	return nil
}
