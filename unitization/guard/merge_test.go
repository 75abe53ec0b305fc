package guard

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

// told is an answer as the reference remembers it.
type told struct {
	epoch uint64
	ends  time.Duration
}

// TestGuardIsWhatAllItsAnswersTogetherAllow gives a guard answers of a history of maps in any order, from relays that
// are behind and permits of any length, and compares each shard with a reference that keeps every answer: the shard is
// as the highest since says, and writes pass while one of the answers that say so holds.
func TestGuardIsWhatAllItsAnswersTogetherAllow(t *testing.T) {
	const shards, epochs = 8, 12
	rapid.Check(t, func(rt *rapid.T) {
		history := drawHistory(rt, shards, epochs)
		clock := &handClock{}
		b := newBench(rt, func(c *Config) { c.Clock, c.Observer = clock, nil })
		b.takeRules(&permitpb.RulesResponse{Rules: []*permitpb.Rules{{
			Unitization: "users", Shards: shards, Header: "h", Function: permitpb.KeyFunction_KEY_FUNCTION_MODULO,
			Services: []*permitpb.Service{{Name: "orders"}},
		}}})
		var answers []told
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "time passes") {
				clock.pass(time.Duration(rapid.IntRange(0, 3).Draw(rt, "seconds")) * time.Second)
			} else {
				epoch := uint64(rapid.IntRange(1, epochs).Draw(rt, "epoch"))
				holds := time.Duration(rapid.IntRange(0, 5).Draw(rt, "holds")) * time.Second
				answers = append(answers, told{epoch, clock.Now().Sub(permit.Instant{}) + holds})
				b.granted(&permit.Permit{
					Asked: clock.Now(), Holds: holds, Revision: 100 + epoch, Maps: []*permitpb.Map{history[epoch]},
				})
			}
			for shard := range shards {
				want := reference(history, answers, shard, clock.Now().Sub(permit.Instant{}))
				d := b.write(fmt.Sprint(shard))
				d.Release()
				if d.Reason != want {
					rt.Fatalf("shard %d at %s after %v: %q, want %q", shard, clock.Now().Sub(permit.Instant{}), answers, d.Reason,
						want)
				}
			}
		}
	})
}

// drawHistory makes a map an epoch, in each of which a part of the shards has changed.
func drawHistory(rt *rapid.T, shards, epochs int) map[uint64]*permitpb.Map {
	owners := make([]*permitpb.Range, shards)
	for i := range owners {
		owners[i] = &permitpb.Range{Unit: "rz01", Cells: []string{ownCell}, Since: 1}
	}
	history := map[uint64]*permitpb.Map{}
	for epoch := uint64(1); epoch <= uint64(epochs); epoch++ {
		if epoch > 1 {
			from := rapid.IntRange(0, shards-1).Draw(rt, "from")
			to := rapid.IntRange(from, shards-1).Draw(rt, "to")
			next := &permitpb.Range{Unit: "rz01", Cells: []string{ownCell}, Since: epoch}
			switch rapid.IntRange(0, 2).Draw(rt, "becomes") {
			case 0:
				frozen(next)
			case 1:
				moved(next)
			}
			for i := from; i <= to; i++ {
				owners[i] = next
			}
		}
		m := &permitpb.Map{Unitization: "users", Shards: uint32(shards), Epoch: epoch}
		for i, o := range owners {
			if i > 0 && owners[i-1] == o {
				m.Ranges[len(m.Ranges)-1].To = uint32(i)
				continue
			}
			m.Ranges = append(m.Ranges, &permitpb.Range{
				From: uint32(i), To: uint32(i), Unit: o.Unit, Cells: o.Cells, Frozen: o.Frozen, Since: o.Since, Left: o.Left,
			})
		}
		history[epoch] = m
	}
	return history
}

func reference(history map[uint64]*permitpb.Map, answers []told, shard int, now time.Duration) Reason {
	var best *permitpb.Range
	var ends time.Duration
	for _, a := range answers {
		for _, r := range history[a.epoch].Ranges {
			if int(r.From) > shard || int(r.To) < shard {
				continue
			}
			switch {
			case best == nil || r.Since > best.Since:
				best, ends = r, a.ends
			case r.Since == best.Since:
				ends = max(ends, a.ends)
			}
		}
	}
	switch {
	case best == nil:
		return NoPermit
	case best.Frozen:
		return Frozen
	case best.Cells[0] != ownCell:
		return WrongCell
	case now >= ends:
		return NoPermit
	}
	return ""
}
