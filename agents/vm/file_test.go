package vm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// twoInstances is a fleet without checks, whose file names two instances.
func twoInstances(t testing.TB) *fleet {
	f := newFleet(t, "")
	for _, name := range []string{"a", "b"} {
		f.servers[name] = &server{address: "127.0.0.1:" + map[string]string{"a": "7001", "b": "7002"}[name]}
		f.says(name)
	}
	return f
}

func TestAnAtomicReplacementIsTakenWithinMilliseconds(t *testing.T) {
	f := twoInstances(t)
	f.replace()
	r, _ := startWith(t, f.path, never, func(*Source) {})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	fastest := time.Hour
	const quick = settled // if the code waited, then at least so long
	// The machine may be busy, the code may not wait.
	for deadline := time.Now().Add(soon); fastest >= quick && time.Now().Before(deadline); {
		delete(f.lines, "b")
		began := time.Now()
		f.replace()
		check(t, r.shows(f.is("a", "READY")))
		fastest = min(fastest, time.Since(began))
		f.says("b", "state: Draining")
		f.replace()
		check(t, r.shows(f.is("a", "READY"), f.is("b", "DRAINING")))
	}
	t.Logf("removal shown %s after the file was written", fastest)
	if fastest >= quick {
		t.Errorf("a removal was shown after %s, want milliseconds", fastest)
	}
}

func TestAnInPlaceWriteIsTaken(t *testing.T) {
	f := twoInstances(t)
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	f.says("b", "state: Draining")
	check(t, os.WriteFile(f.path, []byte(f.text()), 0o600), r.shows(f.is("a", "READY"), f.is("b", "DRAINING")))
	f.says("b")
	check(t, os.WriteFile(f.path, []byte(f.text()), 0o600), r.shows(f.is("a", "READY"), f.is("b", "READY")))
}

// writeSlowly writes the file in place with a pause after the first instance: the first half is a good file, without b.
func writeSlowly(t testing.TB, f *fleet, pause func()) {
	t.Helper()
	text := f.text()
	half := strings.LastIndex(text, "  - ")
	if _, err := Parse([]byte(text[:half])); err != nil {
		t.Fatalf("the test's half file is no good file: %v", err)
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_TRUNC, 0)
	check(t, err)
	_, err = file.WriteString(text[:half])
	check(t, err)
	pause()
	_, err = file.WriteString(text[half:])
	check(t, err, file.Close())
}

func halfFile(t testing.TB, broken breakage) error {
	f := twoInstances(t)
	f.replace()
	r, _ := startWith(t, f.path, poll, func(s *Source) { s.broken, s.patience = broken, time.Hour })
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	f.says("a", "state: Draining")
	writeSlowly(t, f, func() {
		if broken == (breakage{}) {
			time.Sleep(300 * time.Millisecond)
			return
		}
		check(t, r.until(soon, "half a file", func() bool { return len(r.dropped) > 0 })) // what is planted is waited for
	})
	if err := r.shows(f.is("a", "DRAINING"), f.is("b", "READY")); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.dropped) > 0 {
		return fmt.Errorf("half a file was shown: %v were gone for a while", r.dropped)
	}
	return nil
}

func TestAHalfWrittenFileIsNeverShown(t *testing.T) { check(t, halfFile(t, breakage{})) }

func TestABadFileLeavesTheLastGoodOneInForceAndSaysWhy(t *testing.T) {
	f := twoInstances(t)
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")), r.complains(""))
	good := f.text()
	for _, bad := range []struct{ text, says string }{
		{"", "the file is empty"},
		{strings.Replace(good, "7002", "0", 1), "services[0].instances[1].ports.p: Invalid value: 0"},
		{strings.Replace(good, "name: a", "nmae: a", 1), "services[0].instances[0].nmae"},
		{good[:len(good)-5], "line"},
	} {
		replaceFile(t, f.path, bad.text)
		check(t, r.complains(bad.says), r.complains(f.path), r.shows(f.is("a", "READY"), f.is("b", "READY")))
	}
	// The same content again is not news, but its report is: the trouble is over.
	replaceFile(t, f.path, good)
	check(t, r.complains(""), r.shows(f.is("a", "READY"), f.is("b", "READY")))
	delete(f.lines, "a")
	f.replace()
	check(t, r.shows(f.is("b", "READY")))
}

func TestADeletedFileLeavesWhatItSaidInForceUntilItIsBack(t *testing.T) {
	f := twoInstances(t)
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	check(t, os.Remove(f.path), r.complains("is not there"), r.shows(f.is("a", "READY"), f.is("b", "READY")))
	delete(f.lines, "b")
	check(t, os.WriteFile(f.path, []byte(f.text()), 0o600), r.complains(""), r.shows(f.is("a", "READY")))
}

func TestAFileThatIsMissingAtTheStartIsNoEmptySet(t *testing.T) {
	check(t, missingAtStart(t, breakage{}))
}

func missingAtStart(t testing.TB, broken breakage) error {
	f := twoInstances(t)
	r, _ := start(t, f.path, broken)
	check(t, r.complains("is not there: write it, with services: [] for no services"))
	replaceFile(t, f.path, "services: [") // nor is a bad one an answer
	check(t, r.complains("line 1"))
	r.mu.Lock()
	replaced := r.replaced
	r.mu.Unlock()
	if replaced > 0 {
		return errors.New("something was published before there was a good file")
	}
	f.replace()
	return errors.Join(r.complains(""), r.shows(f.is("a", "READY"), f.is("b", "READY")))
}

func TestAnExplicitEmptyListIsAnEmptySet(t *testing.T) {
	f := twoInstances(t)
	replaceFile(t, f.path, "services: []\n")
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(), r.complains(""))
	f.replace()
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	replaceFile(t, f.path, "services: []\n")
	check(t, r.shows())
	if names := r.services(); len(names) != 0 {
		t.Errorf("services %v stay", names)
	}
}

// The file may be a link whose target changes beside it, as in a mounted ConfigMap.
func TestALinkThatMovesIsFollowed(t *testing.T) {
	f := twoInstances(t)
	dir := filepath.Dir(f.path)
	check(t, os.Mkdir(filepath.Join(dir, "v1"), 0o700))
	check(t, os.WriteFile(filepath.Join(dir, "v1", "r.yaml"), []byte(f.text()), 0o600))
	check(t, os.Symlink("v1", filepath.Join(dir, "data")), os.Symlink("data/r.yaml", f.path))
	r, _ := startWith(t, f.path, never, func(*Source) {})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	delete(f.lines, "b")
	check(t, os.Mkdir(filepath.Join(dir, "v2"), 0o700), os.WriteFile(filepath.Join(dir, "v2", "r.yaml"), []byte(f.text()), 0o600))
	check(t, os.Symlink("v2", filepath.Join(dir, "data.new")))
	check(t, os.Rename(filepath.Join(dir, "data.new"), filepath.Join(dir, "data")), r.shows(f.is("a", "READY")))
}

func TestAFolderThatIsMadeAnewIsWatchedAgain(t *testing.T) {
	f := twoInstances(t)
	f.path = filepath.Join(filepath.Dir(f.path), "sub", "registry.yaml")
	r, _ := start(t, f.path, breakage{})
	check(t, r.complains("is not there"))
	check(t, os.Mkdir(filepath.Dir(f.path), 0o700))
	f.replace()
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY"))) // by the poll
	check(t, os.RemoveAll(filepath.Dir(f.path)), r.complains("is not there"))
	check(t, os.Mkdir(filepath.Dir(f.path), 0o700))
	delete(f.lines, "a")
	f.replace()
	check(t, r.shows(f.is("b", "READY")))
}

// A writer that keeps the file open does not hold up a change for ever.
func TestAWriterThatNeverClosesIsWaitedForOnlyForAWhile(t *testing.T) {
	f := twoInstances(t)
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	f.says("b", "state: Draining")
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_TRUNC, 0)
	check(t, err)
	defer file.Close()
	_, err = file.WriteString(f.text())
	check(t, err, r.shows(f.is("a", "READY"), f.is("b", "DRAINING")))
}
