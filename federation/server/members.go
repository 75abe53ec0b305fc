package server

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// seat is one server as the leader sees it: what is wanted of it, and what Raft's configuration has.
type seat struct {
	name string
	// known says that the table has it, removed that it has it as one that is gone; voter what an operator wants.
	known, removed, voter bool
	// inRaft says that Raft's configuration has it, votes with a vote, leads that it is the leader itself.
	inRaft, votes, leads bool
	// silent is how long the leader has heard nothing of it: at most since it leads.
	silent time.Duration
	// behind is how many entries of the log it lacks.
	behind uint64
}

// step is one change of Raft's configuration.
type step struct {
	do   order
	name string
	why  string
}

type order int

const (
	addReplica order = iota + 1
	promote
	demote
	remove
	handOver // the leader is the one to go: somebody else must lead first
)

func (o order) String() string {
	return [...]string{"nothing", "add as a replica", "promote", "demote", "remove", "hand over the leadership of"}[o]
}

// caution are the bounds of what a leader does by itself.
type caution struct {
	// healthy is how long a healthy server may be silent.
	healthy time.Duration
	// deadAfter is when a silent one is dead; 0: never.
	deadAfter time.Duration
	// near is how many entries a server may lack that gets a vote.
	near uint64
	// plants are broken rules; tests only.
	plants Carelessness
}

// Carelessness are rules that a test breaks on purpose.
type Carelessness struct {
	// AnyNumber lets clean-up go below the majority of what operators want.
	AnyNumber bool
	// Unhealthy lets clean-up go on while others are not healthy.
	Unhealthy bool
	// AtOnce lets clean-up not wait.
	AtOnce bool
	// Ungated lets commands into the log that not all servers know.
	Ungated bool
}

// next is the step that brings Raft's configuration nearer to what is wanted; false: there is none. One at a time, and
// each begins from what the one before has made.
func (c caution) next(all []seat) (step, bool) {
	all = slices.SortedFunc(slices.Values(all), func(a, b seat) int { return cmp.Compare(a.name, b.name) })
	for _, rule := range []func(seat) (order, string){c.gone, c.missing, c.unwanted, c.wanted} {
		for _, m := range all {
			do, why := rule(m)
			if do == 0 {
				continue
			}
			if m.leads && (do == demote || do == remove) {
				do = handOver
			}
			return step{do, m.name, why}, true
		}
	}
	for _, m := range all {
		if why, dead := c.dead(m); dead && !m.leads {
			if m.votes && c.mayLose(all, m) {
				return step{demote, m.name, why}, true
			}
			if !m.votes && !m.voter {
				return step{remove, m.name, why}, true
			}
		}
	}
	return step{}, false
}

func (c caution) gone(m seat) (order, string) {
	if m.removed && m.inRaft {
		return remove, "an operator removed it"
	}
	return 0, ""
}

func (c caution) missing(m seat) (order, string) {
	if m.known && !m.removed && !m.inRaft && m.silent < c.healthy {
		return addReplica, "it is a server of the estate, and there"
	}
	return 0, ""
}

func (c caution) unwanted(m seat) (order, string) {
	if m.known && !m.removed && !m.voter && m.votes {
		return demote, "an operator wants it without a vote"
	}
	return 0, ""
}

func (c caution) wanted(m seat) (order, string) {
	if m.known && !m.removed && m.voter && m.inRaft && !m.votes && m.silent < c.healthy && m.behind <= c.near {
		return promote, "an operator wants it with a vote, and it is there"
	}
	return 0, ""
}

func (c caution) dead(m seat) (string, bool) {
	after := c.deadAfter
	if c.plants.AtOnce {
		after = c.healthy
	}
	if after == 0 || !m.inRaft || m.silent < after {
		return "", false
	}
	return fmt.Sprintf("nothing was heard of it for %s", m.silent.Round(time.Second)), true
}

// mayLose says whether a dead voter may lose its vote: the voters that remain are all healthy, and a majority of those
// that operators want.
func (c caution) mayLose(all []seat, dead seat) bool {
	wanted, remain := 0, 0
	for _, m := range all {
		if m.known && !m.removed && m.voter {
			wanted++
		}
		if !m.votes || m.name == dead.name {
			continue
		}
		if m.silent >= c.healthy && !c.plants.Unhealthy {
			return false
		}
		remain++
	}
	return c.plants.AnyNumber && remain > 0 || remain >= wanted/2+1
}

// without says what is wrong with taking a voter's vote on an operator's order; nil: nothing. Whoever insists may leave
// less than a majority that is alive, but never no voter.
func (c caution) without(all []seat, name string, insists bool) error {
	var remain, alive int
	var missing []string
	has := false
	for _, m := range all {
		switch {
		case m.votes && m.name == name:
			has = true
		case m.votes:
			remain++
			if m.silent < c.healthy {
				alive++
			} else {
				missing = append(missing, m.name)
			}
		}
	}
	switch {
	case !has:
		return nil
	case remain == 0:
		return fmt.Errorf("%w: server %s is the last voter", errUnsafe, name)
	case alive < remain/2+1 && !insists:
		return fmt.Errorf("%w: of the %d voters that would remain only %d were heard of (not %s): without a majority nothing can be "+
			"written any more; --force does it all the same", errUnsafe, remain, alive, strings.Join(missing, ", "))
	}
	return nil
}
