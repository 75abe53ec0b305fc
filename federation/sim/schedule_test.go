package sim

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// schedule is everything that a run suffers. It derives from the seed; a run that found something keeps it.
type schedule struct {
	Seed   uint64        `json:"seed"`
	Length time.Duration `json:"length"`
	Plant  string        `json:"plant,omitempty"`
	// Units says that there are units, stores and switchovers, too.
	Units  bool    `json:"units,omitempty"`
	Faults []fault `json:"faults"`
	// Orders are an operator's.
	Orders []order `json:"orders,omitempty"`
}

// fault is one thing that happens, and for how long.
type fault struct {
	At   time.Duration `json:"at"`
	For  time.Duration `json:"for"`
	Kind kind          `json:"kind"`
	// On is a center, or "leader"; To is another one. More are further ones.
	On   string   `json:"on,omitempty"`
	To   string   `json:"to,omitempty"`
	More []string `json:"more,omitempty"`
	// Share is of segments that are late, or of what a fault does at most.
	Share float64 `json:"share,omitempty"`
}

// kind is a kind of fault.
type kind string

// The faults.
const (
	kill       kind = "kill"          // a process ends; the others hear of it
	powerCut   kind = "power cut"     // a process ends; the others hear nothing
	blackout   kind = "blackout"      // all servers lose power at once
	pause      kind = "pause"         // nothing comes and goes, disk included
	isolate    kind = "isolate"       // a center is cut off, both ways
	oneWay     kind = "one-way cut"   // one center's messages do not reach another
	mute       kind = "mute"          // a center hears everybody, and nobody hears it
	region     kind = "region cut"    // a region is cut off
	split      kind = "split"         // two sides
	lossy      kind = "loss"          // a link loses segments
	slowPath   kind = "slow path"     // a region's messages reach another one, or itself, late
	slowDisk   kind = "slow disk"     //
	hungDisk   kind = "hung disk"     //
	fullDisk   kind = "full disk"     //
	failedSync kind = "failed fsync"  //
	transfer   kind = "transfer"      // the leader hands over
	clockJump  kind = "clock jump"    // proposers' clocks are ten minutes off
	demotion   kind = "demotion"      // a voter loses its vote, and gets it back
	elections  kind = "late election" // the leader is cut off from some just long enough
)

// weights are how often each kind happens.
var weights = []struct {
	kind   kind
	weight int
	most   time.Duration
}{
	{kill, 14, 20 * time.Second}, {powerCut, 8, 30 * time.Second}, {blackout, 2, 10 * time.Second},
	{pause, 8, 20 * time.Second}, {isolate, 12, 40 * time.Second}, {oneWay, 12, 40 * time.Second}, {mute, 6, 20 * time.Second},
	{region, 5, 40 * time.Second}, {split, 6, 30 * time.Second}, {lossy, 8, 60 * time.Second}, {slowPath, 8, 60 * time.Second},
	{slowDisk, 6, 30 * time.Second}, {hungDisk, 4, 20 * time.Second}, {fullDisk, 4, 40 * time.Second},
	{failedSync, 3, time.Second}, {transfer, 8, time.Second}, {clockJump, 4, 60 * time.Second}, {elections, 10, 5 * time.Second}, {demotion, 4, time.Second},
}

// programFaults are those that happen to agents and relays, too.
var programFaults = []kind{kill, powerCut, isolate, pause}

const (
	// settles is how long a run has at its end without faults.
	settles = 60 * time.Second
	// begins is how long it has before the first.
	begins = 10 * time.Second
	// sharesMost is a fault's share at most.
	sharesMost = 0.32
	// faultEvery is the mean time between two.
	faultEvery = 12 * time.Second
)

func newSchedule(seed uint64, length time.Duration) schedule {
	return newScheduleFor(plant{}, seed, length)
}

// newScheduleFor is one with more of the faults that a planted bug shows under, and more of all.
func newScheduleFor(p plant, seed uint64, length time.Duration) schedule {
	rnd := rand.New(rand.NewPCG(seed, 3))
	s := schedule{Seed: seed, Length: length, Plant: p.name, Units: seed%3 == 2 || p.units}
	total, every := 0, faultEvery
	if p.name != "" {
		every = cmp.Or(p.every, every/2)
		s.Units = p.units
	}
	if p.name == "" {
		s.Faults = longer(seed, length)
		p.orders = []orderKind{replace, stand, backUp, rebuild}
	}
	s.Orders = newOrders(seed, length, p.orders)
	if p.faults != nil {
		s.Faults = p.faults(rnd, length)
		return s
	}
	weight := func(i int) int {
		if slices.Contains(p.often, weights[i].kind) {
			return 100
		}
		return weights[i].weight
	}
	for i := range weights {
		total += weight(i)
	}
	for at := begins; at < length-settles; at += time.Duration(rnd.Int64N(int64(2 * every))) {
		i, n := 0, rnd.IntN(total)
		for ; n >= weight(i); i++ {
			n -= weight(i)
		}
		f := fault{At: at, Kind: weights[i].kind, For: 200*time.Millisecond + time.Duration(rnd.Int64N(int64(weights[i].most)))}
		f.For = min(f.For, length-settles-at)
		order := rnd.Perm(len(centers))
		f.On, f.To = centers[order[0]], centers[order[1]]
		if rnd.IntN(2) == 0 {
			f.On = "leader"
		}
		f.Share = 0.02 + (sharesMost-0.02)*rnd.Float64()
		// Agents and relays fail, too.
		if slices.Contains(programFaults, f.Kind) && !p.bare && rnd.IntN(3) > 0 {
			what := []string{"agent.", "relay.", "store.", "work."}
			if !s.Units {
				what = what[:2]
			}
			f.On = what[rnd.IntN(len(what))] + clusters[rnd.IntN(len(clusters))]
		}
		for _, j := range order[2 : 2+rnd.IntN(2)] {
			f.More = append(f.More, centers[j])
		}
		s.Faults = append(s.Faults, f)
	}
	slices.SortStableFunc(s.Faults, func(a, b fault) int { return cmp.Compare(a.At, b.At) })
	return s
}
