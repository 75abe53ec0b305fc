package sim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// kept is a run that found something.
type kept struct {
	Schedule   schedule `json:"schedule"`
	Violations []string `json:"violations"`
	// Events are the last lines of everybody's log and of the run's own, Operations what clients were told.
	Events     []string              `json:"events"`
	Operations []porcupine.Operation `json:"operations"`
	History    porcupine.CheckResult `json:"history"`
	Counts     map[string]int        `json:"counts"`
}

// keep writes a run to a file.
func keep(t *testing.T, o outcomeOf) string {
	t.Helper()
	dir := os.Getenv(keepEnv)
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "pentad-sim")
	}
	k := kept{
		Schedule: o.schedule, Violations: o.violations, Events: strings.Split(o.journal, "\n"), Operations: o.operations,
		History: o.history, Counts: o.counts,
	}
	encoded, err := json.MarshalIndent(k, "", " ")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	path := filepath.Join(dir, fmt.Sprintf("seed-%d%s.json", o.schedule.Seed, strings.ReplaceAll("-"+o.schedule.Plant, " ", "-")))
	if err == nil {
		err = os.WriteFile(path, encoded, 0o644)
	}
	if err != nil {
		t.Errorf("the run is not kept: %v", err)
	}
	return path
}

// errKept says that a file is no kept run, or one that this build cannot run again.
var errKept = errors.New("no kept run")

// readKept reads and checks a file that keep wrote.
func readKept(path string) (k kept, err error) {
	encoded, err := os.ReadFile(path)
	if err != nil {
		return k, fmt.Errorf("%w: %w", errKept, err)
	}
	if err := json.Unmarshal(encoded, &k); err != nil {
		return k, fmt.Errorf("%w: %s: %w", errKept, path, err)
	}
	if err := k.Schedule.validate(); err != nil {
		return k, fmt.Errorf("%w: %s: schedule.%w", errKept, path, err)
	}
	return k, nil
}

// longestRun bounds what a file may ask for.
const longestRun = 24 * time.Hour

// kinds are all that can happen.
func kinds() []kind {
	all := []kind{lateVotes, lostVote, lostSync, staleLeader, noPath} // those of planted bugs' own schedules
	for _, w := range weights {
		all = append(all, w.kind)
	}
	return all
}

// validate names the first wrong field.
func (s schedule) validate() error {
	if s.Length < settles+begins || s.Length > longestRun {
		return fmt.Errorf("length: %s: must be from %s to %s", s.Length, settles+begins, longestRun)
	}
	if _, known := planted(s.Plant); !known {
		return fmt.Errorf("plant: %q: this build knows no such bug (those in other rooms need the build tag \"planted\")", s.Plant)
	}
	hosts := append(append([]string{"", "leader"}, centers...), spare)
	for _, center := range clusters {
		hosts = append(hosts, "agent."+center, relayOf(center), storeOf(center), "work."+center)
	}
	within := func(field string, d time.Duration) error {
		if d < 0 || d > s.Length {
			return fmt.Errorf("%s: %s: must be from 0 to the run's length, %s", field, d, s.Length)
		}
		return nil
	}
	host := func(field, name string) error {
		if !slices.Contains(hosts, name) {
			return fmt.Errorf("%s: %q: there is no such host", field, name)
		}
		return nil
	}
	for i, f := range s.Faults {
		in := fmt.Sprintf("faults[%d].", i)
		err := cmp.Or(within(in+"at", f.At), within(in+"for", f.For), host(in+"on", f.On), host(in+"to", f.To))
		switch {
		case err != nil:
		case f.Kind == "":
			err = fmt.Errorf("%skind: must be set", in)
		case !slices.Contains(kinds(), f.Kind):
			err = fmt.Errorf("%skind: %q: there is no such fault", in, f.Kind)
		case f.Kind == fullDisk && strings.Contains(f.On, ".") && !strings.HasPrefix(f.On, "relay."):
			err = fmt.Errorf("%son: %q: has no simulated disk", in, f.On)
		}
		if err != nil {
			return err
		}
	}
	for i, o := range s.Orders {
		in := fmt.Sprintf("orders[%d].", i)
		err := cmp.Or(within(in+"at", o.At), within(in+"for", o.For), host(in+"on", o.On))
		if err == nil && !slices.Contains([]orderKind{replace, stand, backUp, rebuild}, o.Kind) {
			err = fmt.Errorf("%skind: %q: there is no such order", in, o.Kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// totals are those of many runs.
type totals struct {
	began time.Time
	most  time.Duration

	mu               sync.Mutex
	given, simulated time.Duration
	runs, violated   int
	inconclusive     int
	answered         int
	counts           map[string]int
	said             time.Time
}

func newTotals(most time.Duration) *totals {
	return &totals{began: time.Now(), said: time.Now(), most: most, counts: map[string]int{}}
}

// begin says whether there is a run to be made.
func (a *totals) begin(length time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.given >= a.most {
		return false
	}
	a.given += length
	return true
}

// saysEvery is how often progress is shown.
const saysEvery = 10 * time.Second

func (a *totals) add(o outcomeOf) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.runs++
	a.simulated += o.simulated
	for what, n := range o.counts {
		a.counts[what] += n
	}
	a.answered = a.counts["operations answered"]
	if len(o.violations) > 0 {
		a.violated++
	}
	if o.history == porcupine.Unknown {
		a.inconclusive++
	}
	if time.Since(a.said) >= saysEvery {
		a.said = time.Now()
		fmt.Printf("%6.1f of %.1f hours simulated, ×%.0f, %d faults, %d runs with violations\n", a.simulated.Hours(), a.most.Hours(),
			a.speed(), a.faults(), a.violated)
	}
}

// processor is how long this process has had a processor.
func processor() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return time.Nanosecond
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func (a *totals) speed() float64 { return a.simulated.Seconds() / time.Since(a.began).Seconds() }

func (a *totals) faults() (n int) {
	for what, count := range a.counts {
		if strings.HasPrefix(what, faultPrefix) {
			n += count
		}
	}
	return n
}

const faultPrefix = "fault: "

// print is the closing table.
func (a *totals) print(w io.Writer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	row := func(what string, value any) { fmt.Fprintf(w, "  %-34s %10v\n", what, value) }
	fmt.Fprintf(w, "simulated %.1f hours in %s (×%.0f; ×%.0f a processor's second), %d runs\n", a.simulated.Hours(),
		time.Since(a.began).Round(time.Second), a.speed(), a.simulated.Seconds()/processor().Seconds(), a.runs)
	for _, what := range slices.Sorted(maps.Keys(a.counts)) {
		if !strings.HasPrefix(what, faultPrefix) {
			row(what, a.counts[what])
		}
	}
	row("faults", a.faults())
	for _, what := range slices.Sorted(maps.Keys(a.counts)) {
		if name, ok := strings.CutPrefix(what, faultPrefix); ok {
			row("  "+name, a.counts[what])
		}
	}
	row("histories not judged in time", a.inconclusive)
	row("runs with violations", a.violated)
}
