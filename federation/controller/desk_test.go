package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/unitization/switchover"
)

// desk is a leader's desk: a state, what it has seen and heard, and the hour.
type desk struct {
	state  switchover.State
	memory *memory
	heard  heard
	now    time.Time
}

const permit = 5 * time.Second

func newDesk(phase switchover.Phase) *desk {
	d := &desk{memory: newMemory(), now: time.Unix(1000, 0), heard: heard{
		sessions: map[string]progress{"r1": {rendered: 7}, "r2": {rendered: 7}}, term: 3, deadlines: map[string]time.Time{},
	}}
	d.state = switchover.State{
		Epoch: 9,
		Maps:  map[string]*switchover.Map{"users": {Shards: 1, Permit: permit}},
		Stores: map[string]*switchover.Store{"db": {Members: []string{"a", "b"}, Primary: "a", Order: &switchover.Order{
			Action: switchover.Open, Member: "b", Token: 9, Switchover: "s", UID: "u", Step: 4,
		}}},
		Sessions: map[string]*switchover.Session{
			"r1": {ID: "r1", Holder: switchover.Relay, Name: "vm-a/one", Center: "a"},
			"r2": {ID: "r2", Holder: switchover.Relay, Name: "vm-b/one", Center: "b"},
		},
		Switchovers: map[string]*switchover.Switchover{"s": {
			Name: "s", UID: "u", Mode: switchover.Planned, Phase: phase, Freeze: 8,
			Plan: switchover.Plan{
				Moves:  []switchover.Move{{Unitization: "users", Unit: "x", ToUnit: "x", Cells: []string{"x.a"}, ToCells: []string{"x.b"}}},
				Stores: []switchover.StoreMove{{Store: "db", Primary: "a", Target: "b"}},
			},
		}},
	}
	return d
}

// look takes a round at a revision; it returns what is proposed, by the names of the commands.
func (d *desk) look(revision uint64) (names string, again time.Duration) {
	d.heard.wall, d.heard.asked = d.now, d.now
	d.memory.see(d.state, revision, d.now)
	proposals, at := next(d.state, d.memory, d.heard, d.now)
	var list []string
	for _, p := range proposals {
		list = append(list, strings.TrimPrefix(fmt.Sprintf("%T", p.command.GetOperation()), "*intentpb.Command_"))
	}
	if !at.IsZero() {
		again = at.Sub(d.now)
	}
	return strings.Join(list, " "), again
}

func (d *desk) expect(t *testing.T, revision uint64, want string) {
	t.Helper()
	if got, _ := d.look(revision); got != want {
		t.Errorf("proposes %q, want %q", got, want)
	}
}

func (d *desk) pass(by time.Duration) { d.now = d.now.Add(by) }

// disaster makes a Disaster of the desk's switchover.
func (d *desk) disaster() *desk {
	d.state.Switchovers["s"].Mode = switchover.Disaster
	return d
}

// old has the desk know its sessions for long enough, and the switchover for a moment.
func (d *desk) old() *desk {
	d.memory.see(d.state, 8, d.now)
	for id := range d.state.Sessions {
		d.memory.first[id] = d.now.Add(-time.Hour)
	}
	d.pass(time.Millisecond)
	return d
}
