package guard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

// permitEnds is rule 1: who has had no answer for T refuses writes, whatever else it was told last; reads go on.
func permitEnds(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	if err := b.expect("before the first permit", "7", NoPermit); err != nil {
		return err
	}
	b.grant(3, users(3, nil))
	b.clock.pass(5*time.Second - 1)
	if err := b.expect("just before the end", "7", ""); err != nil {
		return err
	}
	b.clock.pass(1)
	if err := b.expect("at the end", "7", NoPermit); err != nil {
		return err
	}
	if d := b.Check(read, []string{"7"}); d.Reason != "" {
		return fmt.Errorf("a read was refused: %s", d.Reason)
	}
	b.grant(3, users(3, nil))
	return b.expect("under a new permit", "7", "")
}

// countsFromAsk is rule 2: the answer took three seconds.
func countsFromAsk(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	asked := b.clock.Now()
	b.clock.pass(3 * time.Second)
	b.granted(&permit.Permit{Asked: asked, Holds: 5 * time.Second, Revision: 3, Maps: []*permitpb.Map{users(3, nil)}})
	b.clock.pass(2*time.Second - 1)
	if err := b.expect("five seconds less a nanosecond after the ask", "7", ""); err != nil {
		return err
	}
	b.clock.pass(1)
	return b.expect("five seconds after the ask", "7", NoPermit)
}

// clocksApart is rule 2: time passes while the machine is suspended, and a wall clock may be set back.
func clocksApart(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, nil))
	b.clock.move(time.Second, 10*time.Second)
	if err := b.expect("after a suspend of ten seconds", "7", NoPermit); err != nil {
		return err
	}
	b.grant(3, users(3, nil))
	b.clock.move(5*time.Second, -time.Hour)
	return b.expect("after the wall clock was set back", "7", NoPermit)
}

// drains is rule 6: a freeze is closed when nothing is in flight, and the relay hears of it at once.
func drains(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, nil))
	one, other := b.write("7"), b.write("8")
	b.grant(4, users(4, frozen))
	if err := b.expect("during the freeze", "9", Frozen); err != nil {
		return err
	}
	if closed := b.closed(); len(closed) > 0 {
		return fmt.Errorf("freeze %v was named closed with two writes in flight", closed)
	}
	one.Release()
	if closed := b.closed(); len(closed) > 0 {
		return fmt.Errorf("freeze %v was named closed with a write in flight", closed)
	}
	for len(b.wakes) > 0 {
		<-b.wakes
	}
	other.Release()
	if len(b.wakes) == 0 {
		return fmt.Errorf("the last write's end made no ask")
	}
	if closed := b.closed(); !slices.Equal(closed, []uint64{4}) {
		return fmt.Errorf("closed are %v, want 4", closed)
	}
	return nil
}

// between is rule 6: a freeze comes between a write's look at the map and its count.
func between(t testing.TB, broken breakage) error {
	var b *bench
	var closed []uint64
	begun := false
	b = newBench(t, func(c *Config) {
		c.broken = broken
		c.paused = func() {
			if !begun {
				begun = true
				b.grant(4, users(4, frozen))
				closed = b.closed()
			}
		}
	})
	b.grant(3, users(3, nil))
	d := b.write("7")
	defer d.Release()
	if d.Reason == "" && slices.Contains(closed, 4) {
		return fmt.Errorf("a write under since %d was let through after freeze 4 was named closed", d.Since)
	}
	if !slices.Equal(b.closed(), []uint64{4}) {
		return fmt.Errorf("the freeze is not closed: %v", b.closed())
	}
	return nil
}

// movesToOlderRelay is rule 6: the next relay is behind.
func movesToOlderRelay(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, nil))
	b.grant(6, users(6, moved))
	b.clock.pass(time.Second)
	b.grant(3, users(3, nil))
	if err := b.expect("by an older answer", "7", WrongCell); err != nil {
		return err
	}
	// The other way round: an answer of before the shard was ours is no right for it, nor does it take away what is held.
	b.grant(9, users(9, nil))
	b.clock.pass(3 * time.Second)
	b.grant(6, users(6, moved))
	if err := b.expect("under what is held", "7", ""); err != nil {
		return err
	}
	b.clock.pass(2 * time.Second)
	return b.expect("after its end", "7", NoPermit)
}

// oneShard is rule 7: exactly one canonical shard.
func oneShard(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, nil))
	for _, values := range [][]string{{"7", "7"}, {"7", "8"}, {"7,7"}, {"7, 8"}, {"007"}, {"+7"}, {" 7"}, {"100"}, {""}} {
		for _, method := range []string{write, read} {
			if d := b.Check(method, values); d.Reason != BadShard {
				return fmt.Errorf("%s with shards %q: %q, want %s", method, values, d.Reason, BadShard)
			}
		}
	}
	return nil
}

// undeclaredWrites is rule 7: what no table names is a write.
func undeclaredWrites(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, frozen))
	for method, want := range map[string]Reason{
		read: "", write: Frozen, read + "s": Frozen, "/orders.v1.Orders/get": Frozen, "/orders.v2.Orders/Get": Frozen,
		"": Frozen,
	} {
		if d := b.Check(method, []string{"7"}); d.Reason != want {
			return fmt.Errorf("method %q: %q, want %q", method, d.Reason, want)
		}
	}
	return nil
}

// onlyOwnCell is rule 8: an active cell is not this one because it is near, or of the same unit.
func onlyOwnCell(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, func(r *permitpb.Range) { r.Cells = []string{"rz01.hz-b", "rz02.hz-a"} }))
	d := b.write("7")
	if d.Reason != WrongCell || d.Unit != "rz01" || d.Cell != "rz02.hz-a" {
		return fmt.Errorf("write of shard 7: %q, unit %s, cell %s: want WRONG_CELL, rz01, the near rz02.hz-a", d.Reason,
			d.Unit, d.Cell)
	}
	return b.expect("of another unit's shard", "30", WrongCell)
}

func TestRulesHold(t *testing.T) {
	for name, rule := range map[string]func(testing.TB, breakage) error{
		"a permit ends": permitEnds, "counted from the ask": countsFromAsk, "two clocks": clocksApart, "drain": drains,
		"freeze between look and count": between, "never back in since": movesToOlderRelay, "one shard": oneShard,
		"undeclared is a write": undeclaredWrites, "own cell": onlyOwnCell,
	} {
		t.Run(name, func(t *testing.T) {
			if err := rule(t, 0); err != nil {
				t.Error(err)
			}
		})
	}
}
