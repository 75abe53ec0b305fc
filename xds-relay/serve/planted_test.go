package serve

import (
	"errors"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"

	"pgregory.net/rapid"
)

// planted are the rules broken on purpose, one at a time, and who has to find it.
var planted = []struct {
	bug   string
	set   func(*faults)
	found []string
}{
	{
		"send suppressed on a new stream because the version is the same", func(f *faults) { f.suppressOnNewStream = true },
		[]string{"new-stream", "equal"},
	},
	{"version without the set", func(f *faults) { f.versionWithoutSet = true }, []string{"equal"}},
	{"acknowledged by version instead of nonce", func(f *faults) { f.ackByVersion = true }, []string{"nonces"}},
	{"an added name not answered", func(f *faults) { f.ignoreAddedNames = true }, []string{"added-names", "equal"}},
	{
		"a missing name answered by absence", func(f *faults) { f.silentOnMissing = true },
		[]string{"missing", "equal", "grpc-go: missing names"},
	},
	{
		"empty names are a wildcard after names were named", func(f *faults) { f.emptyIsWildcard = true },
		[]string{"wildcard-names"},
	},
	{"answered before ready", func(f *faults) { f.answerUnready = true }, []string{"loopback: not ready"}},
	{"a third response in flight", func(f *faults) { f.thirdInFlight = true }, []string{"in-flight", "equal"}},
	{"endpoints don't follow their cluster", func(f *faults) { f.noFollow = true }, []string{"follow", "gates"}},
	{"routes don't wait for clusters", func(f *faults) { f.noGate = true }, []string{"gates", "never without"}},
	{
		"a cluster dropped before the routes that name it", func(f *faults) { f.dropAtOnce = true },
		[]string{"gates", "removal-order", "never without"},
	},
	{
		"send suppressed on a new stream, endpoints don't follow",
		func(f *faults) { f.suppressOnNewStream, f.noFollow = true, true },
		[]string{"grpc-go: away and home"},
	},
	{
		"older routes sent at once", func(f *faults) { f.noCatchUp = true },
		[]string{"catch-up", "never back", "grpc-go: not taken back", "grpc-go: answered anyway"},
	},
	{
		"routes wait for ever", func(f *faults) { f.waitForEver = true },
		[]string{"catch-up-lapses", "never back", "loopback: answered in any case", "grpc-go: answered anyway"},
	},
	{"the higher hash is the newer", func(f *faults) { f.orderByHash = true }, []string{"catch-up", "never back"}},
	{
		"other types wait with the routes", func(f *faults) { f.holdOthers = true },
		[]string{"catch-up", "grpc-go: not taken back"},
	},
	{"any version taken for ours", func(f *faults) { f.anyVersion = true }, []string{"catch-up-foreign"}},
	{"the highest since of a set never falls", func(f *faults) { f.sinceSticks = true }, []string{"since", "equal"}},
}

// TestPlantedBugsAreFound: a test that can't fail proves nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	clean := make(map[string]error)
	for _, p := range planted {
		for _, by := range p.found {
			if _, ok := clean[by]; !ok {
				clean[by] = detect(t, by, faults{})
			}
			if clean[by] != nil {
				t.Errorf("%q finds something where nothing is: %v", by, clean[by])
			}
		}
	}
	// A property searches until it finds the bug; most need some runs, one some thousand. Where it begins is fixed, so that
	// it finds each bug every time; the properties themselves begin anywhere.
	for name, value := range map[string]string{"shrinktime": "0s", "nofailfile": "true", "checks": "200000", "seed": "1"} {
		f := flag.Lookup("rapid." + name)
		old := f.Value.String()
		if err := f.Value.Set(value); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Value.Set(old) }()
	}
	table := &strings.Builder{}
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "planted bug\tfound by\tas")
	for _, p := range planted {
		var f faults
		p.set(&f)
		for _, by := range p.found {
			err := detect(t, by, f)
			if err == nil {
				t.Errorf("%s: %q finds nothing", p.bug, by)
				continue
			}
			line := strings.ReplaceAll(err.Error(), "\n", ": ")
			fmt.Fprintf(w, "%s\t%s\t%.110s\n", p.bug, by, line)
		}
	}
	_ = w.Flush()
	t.Log("\n" + table.String())
}

// detect runs one check against a server with a planted bug.
func detect(t *testing.T, by string, f faults) error {
	switch by {
	case "equal":
		return property(func(t *rapid.T) error { return endsEqual(t, f) })
	case "never without":
		return property(func(t *rapid.T) error { return neverWithout(t, f) })
	case "loopback: not ready":
		return refusedBeforeReady(t, f)
	case "grpc-go: missing names":
		return missingNames(t, f)
	case "grpc-go: away and home":
		return awayAndHome(t, f)
	case "never back":
		return property(func(t *rapid.T) error { return neverBack(t, f) })
	case "loopback: answered in any case":
		return answeredInAnyCase(t, f)
	case "grpc-go: not taken back":
		return notTakenBack(t, f)
	case "grpc-go: answered anyway":
		return answeredAnyway(t, f)
	default:
		return newScript(f).run(scripts(t)[by])
	}
}

// property runs a property that may fail without failing the test.
func property(check func(*rapid.T) error) error {
	tb := &quietTB{}
	done := make(chan struct{})
	var found error
	go func() {
		defer close(done)
		rapid.Check(tb, func(t *rapid.T) {
			if err := check(t); err != nil {
				found = err
				t.FailNow()
			}
		})
	}()
	<-done
	if tb.failed && found == nil {
		return errors.New("failed")
	}
	if !tb.failed {
		return nil
	}
	return found
}

// quietTB is a test that nobody hears of.
type quietTB struct{ failed bool }

func (*quietTB) Helper()                 {}
func (*quietTB) Name() string            { return "planted" }
func (*quietTB) Logf(string, ...any)     {}
func (*quietTB) Log(...any)              {}
func (*quietTB) Skipf(string, ...any)    { runtime.Goexit() }
func (*quietTB) Skip(...any)             { runtime.Goexit() }
func (*quietTB) SkipNow()                { runtime.Goexit() }
func (q *quietTB) Errorf(string, ...any) { q.failed = true }
func (q *quietTB) Error(...any)          { q.failed = true }
func (q *quietTB) Fatalf(string, ...any) { q.FailNow() }
func (q *quietTB) Fatal(...any)          { q.FailNow() }
func (q *quietTB) FailNow()              { q.failed = true; runtime.Goexit() }
func (q *quietTB) Fail()                 { q.failed = true }
func (q *quietTB) Failed() bool          { return q.failed }
