package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A run that found something is kept, and the file is enough to find it again.
func TestAKeptRunIsRunAgain(t *testing.T) {
	p, _ := planted("reads at any server")
	t.Setenv(keepEnv, t.TempDir())
	var found outcomeOf
	for seed := uint64(1); len(found.violations) == 0; seed++ {
		if seed > 20 {
			t.Fatal("the bug is not found in 20 runs")
		}
		found = simulate(t, newScheduleFor(p, seed, shortLength), p)
	}
	path := keep(t, found)
	again, err := readKept(path)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(again.Schedule) != fmt.Sprint(found.schedule) || fmt.Sprint(again.Violations) != fmt.Sprint(found.violations) {
		t.Fatalf("kept: %v: %v; was: %v: %v", again.Violations, again.Schedule, found.violations, found.schedule)
	}
	if len(again.Operations) == 0 || len(again.Events) == 0 {
		t.Errorf("kept are %d operations and %d events", len(again.Operations), len(again.Events))
	}
	p, _ = planted(again.Schedule.Plant)
	for n := 1; ; n++ {
		if o := simulate(t, again.Schedule, p); len(o.violations) > 0 {
			t.Logf("found again in repeat %d: %.200s", n, o.violations[0])
			return
		}
		if n == 10 {
			t.Fatal("not found again in 10 repeats")
		}
	}
}

// A file that is no kept run is refused, with what is wrong in it.
func TestWhatIsNoKeptRunIsRefused(t *testing.T) {
	s := newSchedule(1, shortLength)
	whole, err := json.Marshal(kept{Schedule: s})
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(*schedule)) string {
		c := newSchedule(1, shortLength)
		change(&c)
		b, err := json.Marshal(kept{Schedule: c})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	dir := t.TempDir()
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", "unexpected end"},
		{"garbage", "\x00\x01\x02 seeds", "invalid character"},
		{"cut", string(whole[:len(whole)/2]), "unexpected end"},
		{"two", string(whole) + string(whole), "after top-level value"},
		{"type", `{"schedule": {"seed": "one"}}`, "schedule.seed"},
		{"none", "{}", "schedule.length: 0s"},
		{"length", changed(func(s *schedule) { s.Length = 1000 * time.Hour }), "schedule.length: 1000h0m0s"},
		{"plant", changed(func(s *schedule) { s.Plant = "nobody" }), `schedule.plant: "nobody"`},
		{"host", changed(func(s *schedule) { s.Faults[2].On = "bj-a" }), `schedule.faults[2].on: "bj-a"`},
		{"time", changed(func(s *schedule) { s.Faults[1].At = -1 }), "schedule.faults[1].at: -1ns"},
		{"kind", changed(func(s *schedule) { s.Faults[1].Kind = "" }), "schedule.faults[1].kind: must be set"},
		{"unknown", changed(func(s *schedule) { s.Faults[1].Kind = "flood" }), `schedule.faults[1].kind: "flood"`},
		{"order", changed(func(s *schedule) { s.Orders[0].Kind = "coffee" }), `schedule.orders[0].kind: "coffee"`},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readKept(path)
		if !errors.Is(err, errKept) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	if _, err := readKept(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
