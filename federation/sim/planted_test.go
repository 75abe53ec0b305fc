package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
)

// plants are bugs that are put in on purpose. Those that need a rule of another room broken are there only in builds
// with the tag "planted".
var plants = []plant{
	{rule: "an ack before fsync", name: "acknowledged before the sync", often: []kind{blackout}, disk: func(d *disk) {
		d.early = func(name string) bool { return strings.HasSuffix(name, ".wal") }
	}},
	{rule: "an ack before fsync", name: "votes acknowledged before the sync", soon: true, bare: true, faults: each(lostVote, 9*time.Second, 6*time.Second),
		disk: func(d *disk) {
			d.early = func(name string) bool { return name == "meta-a" || name == "meta-b" }
		}},
	{rule: "Raft", name: "a lost disk comes back as the same", diskLost: true, often: []kind{kill, powerCut}},
	{rule: "intent 2", name: "reads at any server", staleReads: true, soon: true, often: []kind{isolate, region}},
	{rule: "feed 1", name: "an incarnation used again", reuseIncarnation: true, soon: true, often: []kind{kill}},
	{rule: "ownership 1", name: "a relay hands on more than it holds", units: true, stretch: 5, haste: disaster, faults: relaysAway},
}

// planted is the bug of that name; "" is none.
func planted(name string) (plant, bool) {
	for _, p := range plants {
		if p.name == name {
			return p, true
		}
	}
	return plant{}, name == ""
}

const (
	planned  = v1alpha1.SwitchoverPlanned
	disaster = v1alpha1.SwitchoverDisaster
)

// each is a schedule that has one kind of fault every so often.
func each(k kind, every, long time.Duration) func(*rand.Rand, time.Duration) []fault {
	return func(rnd *rand.Rand, length time.Duration) (faults []fault) {
		for at := begins; at+long < length-settles; at += every {
			faults = append(faults, fault{At: at, For: long, Kind: k, On: centers[0], To: centers[rnd.IntN(len(centers))]})
		}
		return faults
	}
}

// relaysAway has relays and agents out of reach of the servers for as long as a switchover takes, and now and then a whole
// center or an end of a process.
func relaysAway(rnd *rand.Rand, length time.Duration) (faults []fault) {
	for at := begins; at < length-settles; at += 10 * time.Second {
		on := clusters[rnd.IntN(len(clusters))]
		f := fault{At: at, For: min(30*time.Second+time.Duration(rnd.Int64N(int64(20*time.Second))), length-settles-at), Kind: noPath, On: relayOf(on)}
		switch rnd.IntN(6) {
		case 0:
			f.Kind, f.On, f.For = isolate, on, min(f.For, 40*time.Second)
		case 1:
			f.Kind, f.For = kill, min(f.For, 3*time.Second)
		case 2:
			f.Kind, f.On, f.For = kill, "leader", min(f.For, 3*time.Second)
			f.To = centers[rnd.IntN(len(centers))]
		case 3:
			f.Kind = isolate
		default:
			if rnd.IntN(3) == 0 {
				f.On = "agent." + on
			}
			for _, to := range centers {
				f.To = to
				faults = append(faults, f)
			}
			continue
		}
		faults = append(faults, f)
	}
	return faults
}

// rests is how long the operator waits between two switchovers.
func (p plant) rests(usual time.Duration) time.Duration {
	if p.haste != "" {
		return usual / 5
	}
	return usual
}

// plantedEnv asks for planted bugs: "all", or those whose rule begins so; without it only those are looked for that are found
// soon. With "kept" no rule is broken, and nothing may be found.
const plantedEnv = "PENTAD_SIM_PLANTED"

// plantedMost is how much is simulated at most until a bug must be found.
const plantedMost = 5 * time.Hour

// rulesKept says that no rule is broken.
func rulesKept() bool { return os.Getenv(plantedEnv) == "kept" }

// Bugs that are put in on purpose are found.
func TestPlantedBugsAreFound(t *testing.T) {
	first, most := firstSeed(t), plantedMost
	if hours, err := strconv.ParseFloat(os.Getenv(hoursEnv), 64); err == nil {
		most = time.Duration(hours * float64(time.Hour))
	}
	for _, p := range plants {
		if only := os.Getenv(plantedEnv); !p.soon && only == "" || !slices.Contains([]string{"", "all", "kept"}, only) && !strings.HasPrefix(p.rule+" ", only+" ") {
			continue
		}
		if only := os.Getenv(plantedEnv); hidden[p.name] && (only == "all" || only == "kept") {
			continue
		}
		if rulesKept() {
			p = p.kept()
		}
		t.Run(p.name, func(t *testing.T) {
			simulated, began := time.Duration(0), time.Now()
			for seed := first; simulated < most; seed++ {
				o := simulate(t, newScheduleFor(p, seed, cmp.Or(p.length, shortLength)), p)
				simulated += o.simulated
				if len(o.violations) > 0 {
					fmt.Printf("  %-20s %-44s found after %8s simulated, %7s: %.200s\n", p.rule, p.name, simulated.Round(time.Second),
						time.Since(began).Round(100*time.Millisecond), strings.ReplaceAll(o.violations[0], "\n", " "))
					if rulesKept() {
						t.Errorf("found though no rule is broken; kept in %s", keep(t, o))
					}
					return
				}
			}
			if !rulesKept() {
				fmt.Printf("  %-20s %-44s not found in %s simulated, %s\n", p.rule, p.name, simulated, time.Since(began).Round(time.Second))
				t.Errorf("not found in %s", simulated)
			}
		})
	}
}

// kept is the plant without its bug: the schedule, and what makes bugs show.
func (p plant) kept() plant {
	p.disk, p.diskLost, p.staleReads, p.reuseIncarnation, p.stretch = nil, false, false, false, 0
	return p
}
