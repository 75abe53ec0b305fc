package intent

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// unitRefusal is a command that must be refused on an estate with units, and change nothing.
type unitRefusal struct {
	name string
	// prepare brings the estate where the command is wrong; nil: it is wrong at once.
	prepare func(e *estate)
	propose func(e *estate) *intentpb.Command
	// field, value (JSON) and part of the message of one of the refusals.
	field, value, message string
}

func makingUsers(fn func(*v1alpha1.Unitization)) func(*estate) *intentpb.Command {
	return func(e *estate) *intentpb.Command {
		u := users()
		u.Name = "merchants"
		u.Spec.Services[0].Name = "merchants"
		for i := range u.Spec.Units {
			u.Spec.Units[i].Name, u.Spec.Units[i].Store = "m"+u.Spec.Units[i].Name, ""
			u.Spec.Units[i].Cells = u.Spec.Units[i].Cells[:1]
		}
		fn(u)
		return creating(u, func(v1alpha1.Object) {})(e)
	}
}

func creatingIt(o v1alpha1.Object) func(*estate) *intentpb.Command {
	return creating(o, func(v1alpha1.Object) {})
}

func moveUsers(toCenters ...string) *v1alpha1.Switchover {
	return moving("move", v1alpha1.SwitchoverSpec{Mode: v1alpha1.SwitchoverPlanned, Moves: []v1alpha1.Move{{
		Unitization: "users", Unit: "rz01", ToCenters: toCenters,
	}}})
}

// running has switchover "out" of hangzhou in a phase.
func running(to switchover.Phase) func(*estate) {
	return func(e *estate) {
		e.relay("hz-a")
		e.add(evacuation("out", "hangzhou"))
		e.drive("out", to)
	}
}

// on makes a typed command for switchover "out".
func on(fn func(e *estate, sw *switchover.Switchover) any) func(*estate) *intentpb.Command {
	return func(e *estate) *intentpb.Command { return e.transition(fn(e, e.switchover("out"))) }
}

func declaredWrong() []unitRefusal {
	return []unitRefusal{
		{"overlapping shards", nil, makingUsers(func(u *v1alpha1.Unitization) { u.Spec.Units[1].Shards[0].From = 4 }),
			"spec.units[1].shards[0]", "", "4"},
		{"partial shards", nil, makingUsers(func(u *v1alpha1.Unitization) { u.Spec.Units[1].Shards[0].To = 8 }),
			"spec.units", "", "9"},
		{"cell without cluster", func(e *estate) { e.add(center("sz-b", "shenzhen", v1alpha1.CenterFull)) },
			makingUsers(func(u *v1alpha1.Unitization) { u.Spec.Units[0].Cells[0].Center = "sz-b" }),
			"spec.units[0].cells[0].center", `"sz-b"`, "has no cluster"},
		{"cell whose labels select nothing", nil, makingUsers(func(u *v1alpha1.Unitization) {
			u.Spec.Units[0].Cells[0].Clusters = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		}), "spec.units[0].cells[0].clusters", `"a=b"`, "selects no cluster"},
		{"unknown center", nil,
			makingUsers(func(u *v1alpha1.Unitization) { u.Spec.Units[0].Cells[0].Center = "xx" }),
			"spec.units[0].cells[0].center", `"xx"`, "must be the name of a declared Center"},
		{"Stop without guard or store permit", nil, makingUsers(func(u *v1alpha1.Unitization) { u.Spec.Guard = false }),
			"spec.units[0].store", "", "spec.guard must be true"},
		{"service bound twice", nil, makingUsers(func(u *v1alpha1.Unitization) { u.Spec.Services[0].Name = "orders" }),
			"spec.services[0].name", `"orders"`, `"users" has bound this service`},
		{"status in a creation", nil, makingUsers(func(u *v1alpha1.Unitization) {
			u.Status.Ranges = []v1alpha1.OwnedRange{{Unit: "mrz01", Cells: []string{}, State: v1alpha1.RangeOpen, Since: "1"}}
		}), "status", "", "must not be set: status is written by Pentad alone"},
		{"an epoch that goes back", nil, changing(v1alpha1.KindUnitization, "users", func(o v1alpha1.Object) {
			o.(*v1alpha1.Unitization).Status.Epoch = "7"
		}), "status.epoch", `"7"`, `must stay "3865470566400000001": status is written by Pentad alone`},
		{"another owner by status", nil, changing(v1alpha1.KindUnitization, "users", func(o v1alpha1.Object) {
			o.(*v1alpha1.Unitization).Status.Ranges[1].Unit = "rz01"
		}), "status.ranges[1].unit", `"rz01"`, `must stay "rz02"`},
		{"another primary by status", nil, changing(v1alpha1.KindStore, "orders-rz01", func(o v1alpha1.Object) {
			o.(*v1alpha1.Store).Status.Primary = "sz-a"
		}), "status.primary", `"sz-a"`, `must stay "hz-a"`},
		{"a token by status", nil, changing(v1alpha1.KindStore, "orders-rz01", func(o v1alpha1.Object) {
			o.(*v1alpha1.Store).Status.Token = "9"
		}), "status.token", `"9"`, "must not be set"},
		{"a store that units need", nil, removing(v1alpha1.KindStore, "orders-rz01"), "metadata.name", `"orders-rz01"`,
			`"rz01"`},
	}
}

func switchoversWrong() []unitRefusal {
	past := evacuation("late", "hangzhou")
	past.Spec.Deadline = &metav1.Time{Time: at(epoch).Time}
	return []unitRefusal{
		{"of an unknown region", nil, creatingIt(evacuation("x", "beijng")), "spec.evacuate.region", `"beijng"`,
			"must be the region of a declared Center"},
		{"of nothing", nil, creatingIt(evacuation("x", "beijing")), "spec", `"beijing"`, "nothing to move"},
		{"into a closed center", func(e *estate) {
			e.must(e.edit(v1alpha1.KindCenter, "sh-a", func(o v1alpha1.Object) {
				o.(*v1alpha1.Center).Spec.Phase = v1alpha1.CenterClosed
			}))
		}, creatingIt(moveUsers("sh-a")), "spec.moves[0].toCenters[0]", `"sh-a"`, ""},
		{"into an Arbiter center", nil, creatingIt(moveUsers("bj-v")), "spec.moves[0].toCenters[0]", `"bj-v"`, ""},
		{"into a center without a cell", nil, creatingIt(moveUsers("sz-a")), "spec.moves[0].toCenters[0]", `"sz-a"`, "cell"},
		{"of shards in another", running(switchover.PhaseApproved), creatingIt(moveUsers("sh-a")), "", "",
			"in switchover out"},
		{"of a store in another", running(switchover.PhaseFencing), creatingIt(disaster("x", "hangzhou")), "", "",
			"in switchover out"},
		{"created after its deadline", nil, creatingIt(past), "spec.deadline", `"2027-01-15T08:00:00Z"`, "must be"},
		{"whose phase is given", nil, creating(evacuation("x", "hangzhou"), func(o v1alpha1.Object) {
			o.(*v1alpha1.Switchover).Status.Phase = v1alpha1.PhaseApproved
		}), "status", "", "must not be set"},
		{"approved by status", running(switchover.PhasePlanned), changing(v1alpha1.KindSwitchover, "out",
			func(o v1alpha1.Object) { o.(*v1alpha1.Switchover).Status.Phase = v1alpha1.PhaseApproved }),
			"status.phase", `"Approved"`, `must stay "Planned"`},
		{"whose spec changes", running(switchover.PhasePlanned), editing(v1alpha1.KindSwitchover, "out",
			func(o v1alpha1.Object) { o.(*v1alpha1.Switchover).Spec.Evacuate.Region = "shanghai" }), "spec", "", ""},
		{"deleted while it runs", running(switchover.PhaseFrozen), removing(v1alpha1.KindSwitchover, "out"), "", "", ""},
		{"Unitization deleted meanwhile", running(switchover.PhaseFrozen), removing(v1alpha1.KindUnitization, "users"),
			"", "", "out"},
	}
}

func transitionsWrong() []unitRefusal {
	approve := func(hash, uid string) func(*estate) *intentpb.Command {
		return on(func(_ *estate, sw *switchover.Switchover) any {
			a := &intentpb.Approve{Switchover: sw.Name, Uid: sw.UID, PlanHash: sw.Hash, Approver: "ann"}
			if hash != "" {
				a.PlanHash = hash
			}
			if uid != "" {
				a.Uid = uid
			}
			return a
		})
	}
	return []unitRefusal{
		{"approval of what is not there", nil, func(e *estate) *intentpb.Command {
			return e.transition(&intentpb.Approve{Switchover: "x", Uid: "u", PlanHash: "h", Approver: "ann"})
		}, "metadata.name", `"x"`, "no such switchover"},
		{"approval of another plan", running(switchover.PhasePlanned), approve("cafe", ""), "planHash", `"cafe"`, ""},
		{"approval of another uid", running(switchover.PhasePlanned), approve("", "u"), "metadata.uid", `"u"`, ""},
		{"approval of a plan that is no more", func(e *estate) {
			running(switchover.PhasePlanned)(e)
			e.add(moveUsers("sh-a"))
			e.drive("move", switchover.PhaseDone)
		}, approve("", ""), "", "", ""},
		{"approval after the deadline", running(switchover.PhasePlanned), func(e *estate) *intentpb.Command {
			c := approve("", "")(e)
			c.ProposedAtUnixMs += 3600 * 1000
			return c
		}, "spec.deadline", `"2027-01-15T09:00:00Z"`, "has expired"},
		{"freeze without approval", running(switchover.PhasePlanned), on(func(_ *estate, sw *switchover.Switchover) any {
			return &intentpb.Freeze{Switchover: sw.Name, Uid: sw.UID}
		}), "status.phase", `"Planned"`, "Approved"},
		{"commit before its time", running(switchover.PhaseFrozen), on(func(_ *estate, sw *switchover.Switchover) any {
			return &intentpb.Commit{Switchover: sw.Name, Uid: sw.UID}
		}), "status.phase", "", ""},
		{"abort past the commit", running(switchover.PhaseCommitted), on(func(_ *estate, sw *switchover.Switchover) any {
			return &intentpb.Abort{Switchover: sw.Name, Uid: sw.UID, Reason: "no"}
		}), "status.phase", "", "no way back"},
		{"waited out another freeze", func(e *estate) {
			e.relay("hz-a")
			e.add(disaster("out", "hangzhou"))
			e.drive("out", switchover.PhaseFrozen)
		}, on(func(_ *estate, sw *switchover.Switchover) any {
			return &intentpb.WaitedOut{Switchover: sw.Name, Uid: sw.UID, Freeze: sw.Freeze - 1, Term: 1}
		}), "freeze", "", ""},
		{"a session of an unknown cluster", nil, func(e *estate) *intentpb.Command {
			s := session(string(e.uid()), "hz-a")
			s.Session.Cluster = "vm-x"
			return e.transition(s)
		}, "session.cluster", `"vm-x"`, "must be the name of a declared Cluster"},
		{"a session in another center than its cluster", nil, func(e *estate) *intentpb.Command {
			s := session(string(e.uid()), "hz-a")
			s.Session.Center = "sz-a"
			return e.transition(s)
		}, "session.center", `"sz-a"`, `must be "hz-a"`},
		{"a session that is closed", nil, func(e *estate) *intentpb.Command {
			id := e.relay("hz-a")
			e.must(e.transition(&intentpb.CloseSession{Id: id}))
			return e.transition(session(id, "hz-a"))
		}, "session.id", "", "closed"},
		{"removal of a session that is open", nil, func(e *estate) *intentpb.Command {
			return e.transition(&intentpb.RemoveSession{Id: e.relay("hz-a"), Term: 1})
		}, "session.id", "", "close"},
	}
}

func TestUnitRefusals(t *testing.T) {
	for _, c := range slices.Concat(declaredWrong(), switchoversWrong(), transitionsWrong()) {
		t.Run(c.name, func(t *testing.T) {
			e := withUnits(t, Config{})
			if c.prepare != nil {
				c.prepare(e)
			}
			command := c.propose(e)
			before, ownership := e.Revision(), encodedOwnership(e.FSM)
			r := e.do(command)
			if r.OK || len(r.Refused) == 0 {
				t.Fatalf("result is %+v, want a refusal", r)
			}
			found := slices.ContainsFunc(r.Refused, func(f FieldError) bool {
				return f.Field != "" && (c.field == "" || strings.HasPrefix(f.Field, c.field)) &&
					(c.value == "" || f.Value == c.value) && f.Message+f.Type != "" && strings.Contains(f.Message, c.message)
			})
			if !found {
				t.Errorf("refused %+v\nwant %s = %s: %s", r.Refused, c.field, c.value, c.message)
			}
			t.Logf("%v", r.Errors().ToAggregate())
			if e.Revision() != before || encodedOwnership(e.FSM) != ownership {
				t.Errorf("the refused command moved the state from %d to %d", before, e.Revision())
			}
		})
	}
}

func encodedOwnership(f *FSM) string {
	encoded, err := f.View().Ownership().Encode()
	if err != nil {
		panic(err)
	}
	return string(encoded)
}
