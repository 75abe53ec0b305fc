package sim

import (
	"math/rand/v2"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/unitization/guard"
	"pentad.dev/pentad/unitization/permit"
)

// plant are the bugs of a run. The zero value has none.
type plant struct {
	name string
	// soon says that it is found within a minute of real time.
	soon bool
	// often are the faults that it shows under, and units says that it needs units.
	often []kind
	units bool
	// every is the mean time between two faults; 0: half of what runs without a bug have.
	every time.Duration
	// length is how long an estate lives; 0: shortLength.
	length time.Duration
	// faults, if not nil, are all that happens.
	faults func(rnd *rand.Rand, length time.Duration) []fault
	// bare has servers alone.
	bare bool
	// orders are what an operator does meanwhile; declared says that clusters are declared, so that they expire.
	orders   []orderKind
	declared bool
	// during breaks a rule for as long as a run takes.
	during func() (undo func())
	// store breaks rules of the store's members.
	store func(*ledger.Config)
	// slowApply has state machines take up to so long for a command.
	slowApply time.Duration
	// haste has units moved one time after the other, in that mode.
	haste v1alpha1.SwitchoverMode
	// aborts has the operator give every switchover up, in some phase.
	aborts bool
	// changes is how often a registry changes, and services how many it has; 0: as usual.
	changes  time.Duration
	services int
	// writes is how often a shard's writer tries; 0: writeEvery.
	writes time.Duration
	// rule is the one that is broken: page and number.
	rule   string
	adjust func(*server.Adjust)
	disk   func(*disk)
	// staleReads has clients read at any server without asking the leader.
	staleReads bool
	// diskLost empties the disk of a server that is killed, and has it make a cluster as if it were new.
	diskLost bool
	// reuseIncarnation has agents that start anew go on under the incarnation that they had.
	reuseIncarnation bool
	// hop and guard break rules of relays and of guards.
	hop func(*permit.HopConfig)
	// stretch has relays hand on permits that hold so many times as long as their own.
	stretch time.Duration
	guard   func(*guard.Config)
}
