package ledger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/unitization/fence"
)

const simSteps = 4000

// TestNothingAcknowledgedIsLostWhateverHappens runs the simulation with every rule kept.
func TestNothingAcknowledgedIsLostWhateverHappens(t *testing.T) {
	until := time.Now().Add(8 * time.Second)
	if testing.Short() {
		until = time.Now().Add(2 * time.Second)
	}
	acked, tokens, seeds := 0, 0, uint64(0)
	for ; time.Now().Before(until) || acked < 1000 || tokens < 100; seeds++ {
		s := newSimulation(seeds, 0, rightOrder)
		if err := s.run(simSteps); err != nil {
			t.Fatalf("seed %d: %v", seeds, err)
		}
		acked += len(s.oracle.acked)
		tokens += len(s.oracle.by)
	}
	t.Logf("%d runs: %d writes acknowledged under %d tokens", seeds, acked, tokens)
}

// TestPlantedBugsAreFound breaks one rule after the other: a test that does not notice shows nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	var table strings.Builder
	for _, bug := range []struct {
		name   string
		broken breakage
		wrong  wrongOrder
	}{
		{"a replica does not compare tokens", brokenCompare, rightOrder},
		{"a replica answers before its fsync", brokenSync, rightOrder},
		{"the token is not kept on disk", brokenKeep, rightOrder},
		{"orders with lower tokens are obeyed", brokenOrder, rightOrder},
		{"no permit at the commit point", brokenPermit, rightOrder},
		{"a primary begins with less than others hold; position read before the fence", brokenClaim, catchUpFirst},
		{"entries are sent before the primary's own fsync", brokenFirst, rightOrder},
		{"promoted before the commit", 0, promoteFirst},
		{"a repeated write is written again", brokenDedup, rightOrder},
	} {
		t.Run(bug.name, func(t *testing.T) {
			for seed := range uint64(3000) {
				s := newSimulation(seed, bug.broken, bug.wrong)
				if err := s.run(simSteps); err != nil {
					fmt.Fprintf(&table, "%-78s seed %4d, %.110s\n", bug.name, seed, err)
					return
				}
			}
			t.Error("not found")
		})
	}
	for _, bug := range []struct {
		name   string
		broken breakage
		find   func(breakage) error
	}{
		{"a write of before the token is taken", brokenOldSince, beforeTheToken},
		{"older entries count without one of the stint's own", brokenBegin, oldEntriesCount},
		{"a fetched part is written where the log has changed meanwhile", brokenChanged, changedMeanwhile},
	} {
		clean, planted := bug.find(0), bug.find(bug.broken)
		if clean != nil || planted == nil {
			t.Errorf("%s: without the bug %v, with it %v", bug.name, clean, planted)
		}
		fmt.Fprintf(&table, "%-78s scenario,  %.110s\n", bug.name, planted)
	}
	t.Logf("planted bugs and what found them\n%s", table.String())
}

// everyEpoch is a since above every token of these tests.
const everyEpoch = 1 << 62

// beforeTheToken is a write that a guard let in under an epoch that was over when the primary's token was ordered: the cell
// may have been left since. It is on its way while the store moves, and the application's client finds the new primary.
func beforeTheToken(broken breakage) error {
	s := newSimulation(0, broken, rightOrder)
	hz, sh, sz := s.member("hz"), s.member("sh"), s.member("sz")
	_ = hz.core.openAt(7)
	hz.permit = simGrant{token: 7, primary: hz.name, until: 1 << 30}
	exchange(hz, sh)
	exchange(hz, sz)
	ask := func(since uint64) (err error) {
		err = errors.New("no answer")
		w := &ledgerpb.Write{Id: fmt.Sprint("since ", since), Since: since}
		hz.core.append([]write{{Write: w, done: func(r result) { err = r.err }}})
		exchange(hz, sh)
		exchange(hz, sz)
		return err
	}
	if err := ask(7); err != nil {
		return nil // the scenario itself does not work
	}
	if ask(6) == nil {
		return errors.New("a write of epoch 6 was taken under token 7")
	}
	return nil
}

// oldEntriesCount is figure 8 of the Raft paper: an entry of an older token is on a majority's disks, and is dropped
// all the same, by a member with a younger one.
func oldEntriesCount(broken breakage) error {
	s := newSimulation(0, broken, rightOrder)
	hz, sh, sz := s.member("hz"), s.member("sh"), s.member("sz")
	ask := func(m *simMember, id string) {
		m.core.append([]write{{Write: &ledgerpb.Write{Id: id, Since: everyEpoch}, done: func(r result) { s.acknowledged(m, id, r) }}})
	}
	opened := func(m *simMember, token uint64, others ...*simMember) {
		_ = m.core.openAt(token)
		m.permit = simGrant{token: token, primary: m.name, until: 1 << 30}
		for _, q := range others {
			exchange(m, q)
		}
	}
	opened(hz, 1, sh, sz)
	ask(hz, "x") // on its own disk, and nobody else's
	s.crash(hz)
	opened(sh, 2, sz)
	ask(sh, "y") // likewise
	s.crash(sh)
	s.start(hz)
	opened(hz, 3, sz)
	ask(hz, "x") // on two disks now, under the old token; acknowledged only with a newer entry
	s.crash(hz)
	s.start(sh)
	if sh.core.position().Compare(sz.core.position()) < 0 {
		return nil // sh may not become primary
	}
	opened(sh, 4, sz)
	if s.failed != nil {
		return s.failed
	}
	return s.oracle.verdict(sh.core)
}

// changedMeanwhile copies from two members whose logs part: a part of the one arrives when the other's has been written.
func changedMeanwhile(broken breakage) error {
	holding := func(name string, tokens ...uint64) *core {
		var entries []entry
		for i, token := range tokens {
			e, err := encodeEntry(&ledgerpb.Entry{Index: uint64(i + 1), Token: token})
			if err != nil {
				panic(err)
			}
			entries = append(entries, e)
		}
		c := newCore("orders", name, nil, &simDisk{records: make([][]byte, len(tokens)), synced: len(tokens)}, entries, 9)
		c.broken = broken
		return c
	}
	self, old, young := holding("hz", 1, 1, 2), holding("sh", 1, 1, 2, 2), holding("sz", 1, 1, 1, 1, 3)
	to := fence.Position{Epoch: 2, Index: 4}
	slow, quick := &catching{token: 9, to: to, after: 3}, &catching{token: 9, to: to, after: 2}
	ask, _ := self.fetching(slow)
	late := old.fetch(ask)
	first, _ := self.fetching(quick)
	part := young.fetch(first)
	part.Records = part.Records[:1]
	_ = self.fetched(quick, "sz", first, part)
	_ = self.fetched(slow, "sh", ask, late)
	if self.tokenAt(3) == 1 && self.tokenAt(4) == 2 {
		return fmt.Errorf("%w: the log is %d, %d, which nobody ever wrote", errViolation, self.tokenAt(3), self.tokenAt(4))
	}
	return nil
}

// exchange carries messages from a primary to a replica, and back, until there are none.
func exchange(p, q *simMember) {
	p.core.linked(q.name)
	for m := p.core.next(q.name); m != nil; m = p.core.next(q.name) {
		answer, err := q.core.replicate(m)
		if err != nil {
			panic(err)
		}
		p.core.replicated(q.name, answer)
	}
}
