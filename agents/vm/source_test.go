package vm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"pentad.dev/pentad/federation/model"
)

// The rules of this room, each broken on purpose and found.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, planted := range []struct {
		name   string
		broken breakage
		look   func(testing.TB, breakage) error
	}{
		{"a half-written file is applied", breakage{halfFile: true}, halfFile},
		{"an empty set is published before there was a good file", breakage{emptyBeforeRead: true}, missingAtStart},
		{"draining instances are dropped", breakage{dropDraining: true}, draining},
		{"new instances are ready before their first check", breakage{unchecked: true}, firstCheck},
	} {
		err := planted.look(t, planted.broken)
		if err == nil {
			t.Errorf("not found: %s", planted.name)
			continue
		}
		t.Logf("%-55s found: %v", planted.name, err)
	}
}

// After any sequence of file edits, good and bad, and of deaths and returns of instances, what is shown is what the
// last good file and the instances' health say; and no instance that was ready all along was ever not shown.
func TestWhatIsShownFollowsTheFileAndTheInstances(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	f := newFleet(t, "type: tcp, interval: 10ms, timeout: 30s")
	names := []string{"a", "b", "c", "d", "e"}
	alive, drains := map[string]bool{}, map[string]bool{}
	for _, name := range append(names, "steady") {
		f.up(name)
		alive[name] = true
	}
	f.says("steady")
	f.replace()
	r, stop := start(t, f.path, breakage{})
	check(t, r.shows(f.is("steady", "READY")))
	for step := range 80 {
		name := names[random.IntN(len(names))]
		action := []string{"list", "unlist", "drain", "kill", "up", "bad", "rewrite", "restart", "delete"}[random.IntN(9)]
		switch action {
		case "list":
			f.says(name)
			drains[name] = false
			f.replace()
		case "drain":
			f.says(name, "state: Draining")
			drains[name] = true
			f.replace()
		case "unlist":
			delete(f.lines, name)
			f.replace()
		case "kill":
			f.servers[name].kill()
			alive[name] = false
		case "up":
			if !alive[name] {
				f.up(name)
				alive[name] = true
			}
		case "bad":
			replaceFile(t, f.path, f.text()+"\nx: y\n")
			check(t, r.complains("x: Invalid value"))
		case "delete":
			f.replace() // it may be gone, or bad, already
			check(t, os.Remove(f.path), r.complains("is not there"))
		case "rewrite":
			check(t, os.WriteFile(f.path, []byte(f.text()), 0o600))
		case "restart":
			stop()
			f.replace() // a restart has only the file to go by
			had := r.records
			if r, stop = start(t, f.path, breakage{}); len(had) == 0 {
				t.Fatal("nothing was shown before a restart")
			}
		}
		want := []string{f.is("steady", "READY")}
		for name := range f.lines {
			switch {
			case name == "steady":
			case drains[name]:
				want = append(want, f.is(name, "DRAINING"))
			case alive[name]:
				want = append(want, f.is(name, "READY"))
			default:
				want = append(want, f.is(name, "UNHEALTHY"))
			}
		}
		if err := r.shows(want...); err != nil {
			t.Fatalf("step %d (%s %s): %v", step, action, name, err)
		}
		if slices.Contains(r.dropped, f.is("steady", "READY")) || r.everSaw(f.is("steady", "UNHEALTHY")) {
			t.Fatalf("step %d (%s %s): the steady instance was not always ready", step, action, name)
		}
	}
}

// One endpoint's change rewrites one slice, also where the service has thousands.
func TestOneChangeInALargeServiceRewritesOneSlice(t *testing.T) {
	f := newFleet(t, "")
	for i := range 1500 {
		name := fmt.Sprintf("i%04d", i)
		f.servers[name] = &server{address: fmt.Sprintf("10.1.%d.%d:80", i/250, i%250+1)}
		f.says(name)
	}
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.until(soon, "15 slices", func() bool { return len(r.records) == 1+15 }))
	r.mu.Lock()
	before := fmt.Sprint(len(r.records))
	old := map[string]string{}
	for key, value := range r.records {
		old[key] = string(value)
	}
	r.mu.Unlock()
	f.says("i0777", "state: Draining")
	f.replace()
	check(t, r.until(soon, "one draining", func() bool { return r.seen[f.is("i0777", "DRAINING")] }))
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := 0
	for key, value := range r.records {
		if old[key] != string(value) {
			changed++
		}
	}
	if changed != 1 || fmt.Sprint(len(r.records)) != before {
		t.Errorf("%d of %d records changed, want 1", changed, len(r.records))
	}
}

func TestAnExportKeepsItsAgeOverARestart(t *testing.T) {
	f := twoInstances(t)
	f.replace()
	created := func(r *recorder) int64 {
		s, err := model.DecodeService("orders", r.records[model.KindService+" orders"])
		check(t, err)
		return s.CreatedUnixMs
	}
	r, stop := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	stop()
	first := created(r)
	time.Sleep(5 * time.Millisecond)
	r, stop = start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	stop()
	if got := created(r); got != first {
		t.Errorf("after a restart the export began at %d, was %d", got, first)
	}
	check(t, os.WriteFile(f.path+".since", []byte("{"), 0o600)) // damaged: set aside, and the source runs
	r, stop = start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	stop()
	if _, err := os.Stat(f.path + ".since.damaged"); err != nil || created(r) <= first {
		t.Errorf("a damaged book is not set aside: %v", err)
	}
}

func TestAnErrorOfTheSinkEndsRun(t *testing.T) {
	f := twoInstances(t)
	f.replace()
	s, err := New(Config{Path: f.path, Log: quiet})
	check(t, err)
	if err := s.Run(t.Context(), refusing{newRecorder()}); !errors.Is(err, errRefused) {
		t.Errorf("got %v", err)
	}
}

func TestStatusSaysWhyAnInstanceIsUnhealthy(t *testing.T) {
	f := newFleet(t, "type: tcp, timeout: 30s")
	f.up("a")
	f.up("b").kill()
	f.up("c")
	f.says("a")
	f.says("b")
	f.says("c", "state: Draining")
	f.replace()
	s, err := New(Config{Path: f.path, Log: quiet})
	check(t, err)
	r := newRecorder()
	go s.Run(t.Context(), r)
	check(t, r.shows(f.is("a", "READY"), f.is("b", "UNHEALTHY"), f.is("c", "DRAINING")))
	got := s.Status().([]InstanceStatus)
	if len(got) != 3 || got[0].State != "Ready" || got[1].State != "Unhealthy" || got[1].Error == "" ||
		got[2].State != "Draining" {
		t.Errorf("status %+v", got)
	}
}

func TestAWrongConfigNamesItsFields(t *testing.T) {
	_, err := New(Config{Poll: -1, Checks: -1})
	for _, field := range []string{"path:", "poll: -1ns", "checks: -1", "log:"} {
		if err == nil || !contains(err, field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}
