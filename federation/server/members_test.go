package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var careful = caution{healthy: 3 * time.Second, deadAfter: time.Hour, near: 1000}

// voters are n healthy ones, the first of them the leader.
func voters(n int) (all []seat) {
	for i := range n {
		all = append(all, seat{name: fmt.Sprintf("s%d", i+1), known: true, voter: true, inRaft: true, votes: true, leads: i == 0})
	}
	return all
}

func TestTheLeaderBringsRaftAfterTheTable(t *testing.T) {
	for name, c := range map[string]struct {
		change func(all []seat) []seat
		want   step
	}{
		"nothing":                  {func(all []seat) []seat { return all }, step{}},
		"one that joined":          {func(all []seat) []seat { return append(all, seat{name: "s9", known: true}) }, step{do: addReplica, name: "s9"}},
		"one that joined and left": {func(all []seat) []seat { return append(all, seat{name: "s9", known: true, silent: time.Minute}) }, step{}},
		"one that nobody knows":    {func(all []seat) []seat { return append(all, seat{name: "s9", inRaft: true}) }, step{}},
		"one to be promoted":       {func(all []seat) []seat { return append(all, seat{name: "s9", known: true, voter: true, inRaft: true}) }, step{do: promote, name: "s9"}},
		"it lacks much": {func(all []seat) []seat {
			return append(all, seat{name: "s9", known: true, voter: true, inRaft: true, behind: 1001})
		}, step{}},
		"it is not heard of": {func(all []seat) []seat {
			return append(all, seat{name: "s9", known: true, voter: true, inRaft: true, silent: time.Minute})
		}, step{}},
		"one to be demoted":        {func(all []seat) []seat { all[2].voter = false; return all }, step{do: demote, name: "s3"}},
		"the leader to be demoted": {func(all []seat) []seat { all[0].voter = false; return all }, step{do: handOver, name: "s1"}},
		"one that was removed":     {func(all []seat) []seat { all[2].removed = true; return all }, step{do: remove, name: "s3"}},
		"the leader was removed":   {func(all []seat) []seat { all[0].removed = true; return all }, step{do: handOver, name: "s1"}},
		"removed and gone":         {func(all []seat) []seat { return append(all, seat{name: "s9", known: true, removed: true}) }, step{}},
		"a dead voter":             {func(all []seat) []seat { all[2].silent = time.Hour; return all }, step{do: demote, name: "s3"}},
		"a voter silent for a bit": {func(all []seat) []seat { all[2].silent = time.Hour - 1; return all }, step{}},
		"a dead replica": {func(all []seat) []seat {
			return append(all, seat{name: "s9", known: true, inRaft: true, silent: time.Hour})
		}, step{do: remove, name: "s9"}},
		"a dead one that may vote": {func(all []seat) []seat {
			return append(all, seat{name: "s9", known: true, voter: true, inRaft: true, silent: time.Hour})
		}, step{}},
		"dead while another is ill": {func(all []seat) []seat { all[2].silent, all[3].silent = time.Hour, time.Minute; return all }, step{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := careful.next(c.change(voters(5)))
			if got.why = ""; got != c.want {
				t.Errorf("the step is %s %q, want %s %q", got.do, got.name, c.want.do, c.want.name)
			}
		})
	}
}

// TestCleanUpNeverShrinksBelowAMajorityOfWhatIsWanted lets servers of estates die and come back, in any order, with the
// leader's clean-up between, and counts the voters.
func TestCleanUpNeverShrinksBelowAMajorityOfWhatIsWanted(t *testing.T) {
	for seed := range uint64(200) {
		if err := lives(careful, seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	never := careful
	never.deadAfter = 0
	for _, c := range []struct {
		name   string
		plants Carelessness
	}{
		{"clean-up goes below the majority of what is wanted", Carelessness{AnyNumber: true}},
		{"clean-up goes on while others are not healthy", Carelessness{Unhealthy: true}},
		{"clean-up does not wait", Carelessness{AtOnce: true}},
	} {
		planted := careful
		planted.plants = c.plants
		found := error(nil)
		for seed := uint64(0); seed < 200 && found == nil; seed++ {
			found = lives(planted, seed)
		}
		if found == nil {
			t.Errorf("%s: not found", c.name)
		}
		t.Logf("%-52s %v", c.name, found)
	}
	dead := voters(5)
	dead[4].silent = 100 * time.Hour
	if step, ok := never.next(dead); ok {
		t.Errorf("with deadAfter 0 there is a step: %+v", step)
	}
}

// lives is one estate's: each day some die, some return, and the leader does what there is to do.
func lives(c caution, seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 5))
	all := voters(1 + rnd.IntN(7))
	down := map[string]bool{}
	for range 60 {
		at := rnd.IntN(len(all))
		if !all[at].leads {
			down[all[at].name] = !down[all[at].name]
		}
		passed := []time.Duration{time.Second, time.Minute, 2 * time.Hour}[rnd.IntN(3)]
		for i := range all {
			if all[i].silent += passed; !down[all[i].name] {
				all[i].silent = 0
			}
		}
		for {
			next, ok := c.next(all)
			if !ok {
				break
			}
			i := slices.IndexFunc(all, func(s seat) bool { return s.name == next.name })
			switch next.do {
			case demote:
				if err := mayDie(all, all[i]); err != nil {
					return err
				}
				all[i].votes = false
			case promote:
				if down[next.name] {
					return fmt.Errorf("%s is promoted, and down", next.name)
				}
				all[i].votes = true
			default:
				return fmt.Errorf("%s %s: nobody wants that", next.do, next.name)
			}
		}
		for _, s := range all {
			if !down[s.name] && !s.votes {
				return fmt.Errorf("%s is there again, and has no vote", s.name)
			}
		}
	}
	return nil
}

// mayDie says what is wrong with taking a dead server's vote, written apart from the code.
func mayDie(all []seat, dead seat) error {
	if dead.silent < time.Hour {
		return fmt.Errorf("%s loses its vote after %s", dead.name, dead.silent)
	}
	left := 0
	for _, s := range all {
		if s.votes && s.name != dead.name {
			left++
			if s.silent > 5*time.Second {
				return fmt.Errorf("%s loses its vote while %s was not heard of for %s", dead.name, s.name, s.silent)
			}
		}
	}
	if 2*left <= len(all) {
		return fmt.Errorf("%s loses its vote, %d of %d are left", dead.name, left, len(all))
	}
	return nil
}

func TestAnOrderThatRisksTheMajorityIsRefused(t *testing.T) {
	one := voters(1)
	if err := careful.without(one, "s1", true); !errors.Is(err, errUnsafe) {
		t.Errorf("the last voter, insisting: %v", err)
	}
	three := voters(3)
	if err := careful.without(three, "s2", false); err != nil {
		t.Errorf("one of three: %v", err)
	}
	three[2].silent = time.Minute
	if err := careful.without(three, "s3", false); err != nil {
		t.Errorf("the dead one of three: %v", err)
	}
	if err := careful.without(three, "s2", false); !errors.Is(err, errUnsafe) {
		t.Errorf("a live one beside a dead one: %v", err)
	}
	if err := careful.without(three, "s2", true); err != nil {
		t.Errorf("a live one beside a dead one, insisting: %v", err)
	}
	if err := careful.without(append(three, seat{name: "s9", known: true, inRaft: true}), "s9", false); err != nil {
		t.Errorf("a replica: %v", err)
	}
}
