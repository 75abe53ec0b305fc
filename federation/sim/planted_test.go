package sim

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// plants are bugs that are put in on purpose. Those that need a rule of another room broken are there only in builds
// with the tag "planted".
var plants = []plant{
	{name: "acknowledged before the sync", often: []kind{blackout}, disk: func(d *disk) {
		d.early = func(name string) bool { return strings.HasSuffix(name, ".wal") }
	}},
	{name: "votes acknowledged before the sync", often: []kind{kill, elections}, disk: func(d *disk) {
		d.early = func(name string) bool { return name == "meta-a" || name == "meta-b" }
	}},
	{name: "a lost disk comes back as the same", diskLost: true, often: []kind{kill, powerCut}},
	{name: "reads at any server", staleReads: true, soon: true, often: []kind{isolate, region}},
	{name: "an incarnation used again", reuseIncarnation: true, soon: true, often: []kind{kill}},
	{name: "a relay hands on more than it holds", units: true, stretch: 20, often: []kind{isolate}},
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

// plantedEnv asks for all planted bugs; without it only those are looked for that are found soon.
const plantedEnv = "PENTAD_SIM_PLANTED"

// plantedMost is how much is simulated at most until a bug must be found.
const plantedMost = 5 * time.Hour

// Bugs that are put in on purpose are found.
func TestPlantedBugsAreFound(t *testing.T) {
	first := firstSeed(t)
	for _, p := range plants {
		if os.Getenv(plantedEnv) == "" && !p.soon {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			simulated, began := time.Duration(0), time.Now()
			for seed := first; simulated < plantedMost; seed++ {
				o := simulate(t, newScheduleFor(p, seed, cmp.Or(p.length, shortLength)), p)
				simulated += o.simulated
				if len(o.violations) > 0 {
					fmt.Printf("  %-38s found after %8s simulated, %6s: %.160s\n", p.name, simulated.Round(time.Second),
						time.Since(began).Round(100*time.Millisecond), strings.ReplaceAll(o.violations[0], "\n", " "))
					return
				}
			}
			t.Errorf("not found in %s", simulated)
		})
	}
}
