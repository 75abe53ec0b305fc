package sim

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// plants are bugs that are put in on purpose. Those that need a rule of another room broken are there only in builds
// with the tag "planted".
var plants = []plant{
	{name: "acknowledged before the sync", disk: func(d *disk) { d.lies = func(name string) bool { return true } }},
	{name: "votes forgotten", disk: func(d *disk) {
		d.lies = func(name string) bool { return name == "meta-a" || name == "meta-b" }
	}},
	{name: "reads at any server", staleReads: true},
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

// plantedEnv asks for all planted bugs, and for how many simulated hours each at most; without it only quick ones are
// looked for.
const plantedEnv = "PENTAD_SIM_PLANTED"

// Bugs that are put in on purpose are found.
func TestPlantedBugsAreFound(t *testing.T) {
	most := time.Hour
	if os.Getenv(plantedEnv) == "" && testing.Short() {
		t.Skip("takes a while")
	}
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			simulated, began := time.Duration(0), time.Now()
			for seed := uint64(1); simulated < most; seed++ {
				s := newSchedule(seed, runLength)
				s.Plant = p.name
				o := simulate(t, s, p)
				simulated += o.simulated
				if len(o.violations) > 0 {
					fmt.Printf("  %-34s found after %8s simulated, %6s: %.120s\n", p.name, simulated.Round(time.Second),
						time.Since(began).Round(100*time.Millisecond), o.violations[0])
					return
				}
			}
			t.Errorf("not found in %s", simulated)
		})
	}
}
