package vm

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestANewInstanceIsShownOnlyAfterItsFirstCheck(t *testing.T) { check(t, firstCheck(t, breakage{})) }

// firstCheck adds an instance that is dead: it must never be shown as ready, nor may its neighbour be held up.
func firstCheck(t testing.TB, broken breakage) error {
	f := newFleet(t, "type: tcp, interval: 20ms, timeout: 30s")
	f.up("a")
	f.up("b").kill()
	f.says("a")
	f.replace()
	r, _ := start(t, f.path, broken)
	if err := r.shows(f.is("a", "READY")); err != nil {
		return err
	}
	f.says("b")
	f.replace()
	if err := r.shows(f.is("a", "READY"), f.is("b", "UNHEALTHY")); err != nil {
		return err
	}
	if r.everSaw(f.is("b", "READY")) {
		return errors.New("a dead instance was shown as ready")
	}
	f.up("b")
	return r.shows(f.is("a", "READY"), f.is("b", "READY"))
}

// A draining instance is not checked: its death is no news, and when it stops draining it is checked first.
func TestADrainingInstanceTakesNoTrafficUnchecked(t *testing.T) { check(t, draining(t, breakage{})) }

func draining(t testing.TB, broken breakage) error {
	f := newFleet(t, "type: tcp, interval: 20ms, timeout: 30s")
	for _, name := range []string{"a", "b"} {
		f.up(name)
		f.says(name)
	}
	f.replace()
	r, _ := start(t, f.path, broken)
	if err := r.shows(f.is("a", "READY"), f.is("b", "READY")); err != nil {
		return err
	}
	f.says("b", "state: Draining")
	f.replace()
	if err := r.until(broken.soon(), "b draining", func() bool { return r.seen[f.is("b", "DRAINING")] }); err != nil {
		return err
	}
	f.servers["b"].kill()
	time.Sleep(100 * time.Millisecond)
	if err := r.shows(f.is("a", "READY"), f.is("b", "DRAINING")); err != nil {
		return err
	}
	r.mu.Lock()
	clear(r.seen)
	r.mu.Unlock()
	f.says("b")
	f.replace()
	if err := r.shows(f.is("a", "READY"), f.is("b", "UNHEALTHY")); err != nil {
		return err
	}
	if r.everSaw(f.is("b", "READY")) {
		return errors.New("an instance that stopped draining was shown as ready unchecked")
	}
	return nil
}

// An instance whose address moved is another instance.
func TestAMovedInstanceIsCheckedAtItsNewAddress(t *testing.T) {
	f := newFleet(t, "type: tcp, interval: 20ms, timeout: 30s")
	old := f.up("a")
	f.says("a")
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY")))
	was := f.is("a", "READY")
	delete(f.servers, "a")
	f.up("a")
	f.says("a")
	f.replace()
	check(t, r.shows(f.is("a", "READY")))
	if was == f.is("a", "READY") {
		t.Fatal("the test's instance did not move")
	}
	old.kill()
	time.Sleep(60 * time.Millisecond)
	check(t, r.shows(f.is("a", "READY")))
}

// A rename, one more port and another check are no reason to withdraw an instance.
func TestARenameOrAnotherCheckInterruptsNobody(t *testing.T) {
	f := newFleet(t, "type: tcp, interval: 20ms, timeout: 30s")
	for _, name := range []string{"a", "b"} {
		f.up(name)
		f.says(name)
	}
	f.replace()
	r, _ := start(t, f.path, breakage{})
	check(t, r.shows(f.is("a", "READY"), f.is("b", "READY")))
	text := f.text()
	ported := strings.NewReplacer(
		"port: 9000}", "port: 9000}, {name: q, port: 1}", "type: tcp", "type: tcp, port: p").Replace(text)
	for i, name := range []string{"a", "b"} {
		_, port, _ := net.SplitHostPort(f.servers[name].address)
		at := "ports: {p: " + port
		ported = strings.Replace(ported, at, fmt.Sprintf("%s, q: %d", at, i+1), 1)
	}
	swapped := strings.NewReplacer("name: a", "name: b", "name: b", "name: x").Replace(text)
	for _, edit := range []string{
		swapped, text, strings.Replace(text, "interval: 20ms", "interval: 30ms", 1),
		strings.Replace(text, "  check:", "  # check:", 1), text, ported, text,
	} {
		replaceFile(t, f.path, edit+"- {name: mark, ports: [{name: p, port: 1}], instances: []}\n")
		check(t, r.until(soon, "the edit", func() bool { return len(r.records) > 2 }))
		replaceFile(t, f.path, edit)
		check(t, r.until(soon, "the edit", func() bool {
			_, there := r.records["Service mark"]
			return !there
		}), r.complains(""))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.dropped) > 0 || r.seen[f.is("a", "UNHEALTHY")] || r.seen[f.is("b", "UNHEALTHY")] {
		t.Errorf("withdrawn: %v, ever shown: %v", r.dropped, r.seen)
	}
}
