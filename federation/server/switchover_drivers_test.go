package server

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/unitization/fence"
	"pentad.dev/pentad/unitization/switchover"
)

// misbehaviour is what a member does in place of what it is asked.
type misbehaviour struct {
	name string
	bad  func(*member)
	mend func(*member)
	// says is in the explanation.
	says string
}

func answers(status int, body string) func(*member) {
	return func(m *member) {
		m.answer(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
}

func mended(m *member) { m.answer(nil) }

var misbehaviours = []misbehaviour{
	{
		"hangs", func(m *member) { m.hold(everything...) }, func(m *member) { m.let(everything...) }, "no answer in time",
	},
	{"answers garbage", answers(200, `{"token": 7`), mended, "answer makes no sense"},
	{
		"says it is closed under no token",
		answers(200, `{"token":"0","position":{"epoch":"0","index":"9"},"state":"Closed","primary":false}`), mended,
		"answer makes no sense",
	},
	{"says it is open", func(m *member) {
		m.answer(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, token, _ := strings.Cut(string(body), `"token":"`)
			token, _, _ = strings.Cut(token, `"`)
			_, _ = io.WriteString(w, `{"token":"`+token+`","position":{"epoch":"0","index":"9"},"state":"Open","primary":true}`)
		})
	}, mended, "the member is open"},
	{"fails", answers(500, `{"error":"the disk is full"}`), mended, "the disk is full"},
	{"keeps a higher token", answers(409, `{"error":"I keep another token"}`), mended, "I keep another token"},
}

// Whatever the old primary's driver does instead of closing it, the switchover stands still, says why, and goes on when
// the driver is mended, or gives the shards back.
func TestABadDriverOfTheOldPrimaryStopsASwitchoverSafely(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	hz := u.members["hz-a"]
	w := u.write()
	for i, m := range misbehaviours {
		w.flows(0, "rz01.hz-a")
		name := strings.ReplaceAll(m.name, " ", "-")
		m.bad(hz)
		u.begin(name, evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
		u.standsStill(name, switchover.PhaseFencing, "hz-a", m.says)
		if i%2 == 0 {
			m.mend(hz)
			u.reaches(name, switchover.PhaseDone, patient)
			w.flows(0, "rz01.sh-a")
			u.begin("back-"+name, v1alpha1.SwitchoverSpec{Mode: v1alpha1.SwitchoverPlanned, ReturnToBaseline: true})
			u.reaches("back-"+name, switchover.PhaseDone, patient)
			continue
		}
		_, err := u.api.Switchovers().Abort(t.Context(), name, "the driver is bad")
		check(t, err)
		m.mend(hz)
	}
	w.flows(0, "rz01.hz-a")
	w.stop()
	if err := errors.Join(apart(w.all(), true), oneOpen(u.members)); err != nil {
		t.Error(err)
	}
}

// standsStill sees that a switchover stays where it is because of a member, that nothing takes writes meanwhile, and
// that an operator is told so.
func (u *units) standsStill(name string, phase switchover.Phase, member, says string) {
	u.t.Helper()
	u.reaches(name, phase, patient)
	var last string
	eventually(u.t, "explanation with "+says, patient, func() bool {
		e := u.explain(name)
		last = e.Waiting + "\n" + strings.Join(e.Details, "\n")
		return strings.Contains(last, "store db, member "+member+": ") && strings.Contains(last, says)
	})
	u.stays(name, phase, 300*time.Millisecond)
	e := u.explain(name)
	next := "Abort gives everything back"
	if phase >= switchover.PhaseCommitted {
		next = "declare a Disaster that supersedes"
	}
	for _, part := range []string{"store db", member, next} {
		if !strings.Contains(e.Waiting, part) {
			u.t.Errorf("%q does not say %q: which store and member, and what to do", e.Waiting, part)
		}
	}
	for _, center := range centers() {
		if d := u.sites[center].guards["rz01"].Check("/sample/Write", []string{"1"}); d.Reason == "" {
			d.Release()
			u.t.Errorf("the guard in %s lets a write in while switchover %s is %s", center, name, phase)
		}
	}
	u.t.Logf("%s\n\t%s", name, strings.ReplaceAll(last, "\n", "\n\t"))
}

// The new primary's driver is as bad at each of its steps.
func TestABadDriverOfTheNewPrimaryStopsASwitchoverSafely(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	sh := u.members["sh-a"]
	w := u.write()
	w.flows(0, "rz01.hz-a")
	sh.hold(fence.CatchUp, fence.Promote)
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.standsStill("out", switchover.PhaseCatchingUp, "sh-a", "no answer in time")
	sh.let(fence.CatchUp)
	u.standsStill("out", switchover.PhaseCommitted, "sh-a", "no answer in time")
	answers(500, `{"error":"out of order"}`)(sh)
	u.standsStill("out", switchover.PhaseCommitted, "sh-a", "out of order")
	mended(sh)
	sh.let(fence.Promote)
	u.reaches("out", switchover.PhaseDone, patient)
	w.flows(0, "rz01.sh-a")
	w.stop()
	if err := errors.Join(apart(w.all(), true), oneOpen(u.members)); err != nil {
		t.Error(err)
	}
}

// A fence that is obeyed, and answered, only after an abort has given the store back, closes nothing and counts for
// nothing, also not for the next switchover.
func TestALateAnswerToAnOldOrderCountsForNothing(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	hz := u.members["hz-a"]
	late := make(chan struct{})
	obey := make(chan http.Handler, 1)
	obey <- hz.handler()
	hz.answer(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r = r.Clone(t.Context()) // the caller's patience does not matter to it
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if strings.Contains(string(body), `"Fence"`) {
			<-late
		}
		h := <-obey
		obey <- h
		h.ServeHTTP(w, r)
	})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	u.begin("first", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.stays("first", switchover.PhaseFencing, 100*time.Millisecond)
	_, err := u.api.Switchovers().Abort(t.Context(), "first", "it takes too long")
	check(t, err)
	w.flows(0, "rz01.hz-a")
	eventually(t, "unfenced store", patient, func() bool { return hz.called(fence.Unfence) > 0 })
	close(late)
	eventually(t, "late fence", patient, func() bool { return hz.called(fence.Fence) > 0 })
	w.flows(0, "rz01.hz-a")
	hz.answer(nil)
	hz.hold(fence.Fence)
	u.begin("second", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.stays("second", switchover.PhaseFencing, 200*time.Millisecond)
	hz.let(fence.Fence)
	u.reaches("second", switchover.PhaseDone, patient)
	w.stop()
	if err := errors.Join(apart(w.all(), true), oneOpen(u.members)); err != nil {
		t.Error(err)
	}
}

// An agent speaks for the members that it drives, whatever it writes into its own feed.
func TestAnAgentThatSpeaksForAnothersMemberIsNotHeard(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	u.members["hz-a"].hold(fence.Fence)
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.reaches("out", switchover.PhaseFencing, patient)
	order := u.state().Stores["db"].Order
	value, err := model.Encode(&modelpb.StoreReport{
		Store: "db", Member: "hz-a", SwitchoverUid: order.UID, Step: uint32(order.Step), Token: order.Token,
		Action: modelpb.StoreAction_STORE_ACTION_FENCE, Position: &modelpb.StorePosition{},
	})
	check(t, err)
	reports := u.servers[0].feeds.Log(model.ReportsFeed("liar"))
	_, err = reports.Begin(1, []feed.Change{{Kind: model.KindStoreReport, Key: "db", Value: value}})
	check(t, err)
	u.stays("out", switchover.PhaseFencing, 300*time.Millisecond)
	u.members["hz-a"].let(fence.Fence)
	u.reaches("out", switchover.PhaseDone, patient)
}

// Of a store that holds no permit nobody knows whether its dead primary is closed, until a person says so.
func TestADisasterWithoutEvidenceOfTheOldPrimaryWaitsForAPerson(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	u.sites["hz-a"].vanish()
	spec := evacuate(v1alpha1.SwitchoverDisaster, "hz-a")
	u.begin("hoping", spec)
	u.stays("hoping", switchover.PhaseFencing, 2*u.waited())
	e := u.explain("hoping")
	if !strings.Contains(e.Waiting, "store db") || !strings.Contains(e.Waiting, "spec.oldPrimaries") {
		t.Errorf("explained by %q", e.Waiting)
	}
	_, err := u.api.Switchovers().Abort(t.Context(), "hoping", "I will look")
	check(t, err)
	spec.OldPrimaries = []v1alpha1.OldPrimary{{Store: "db", Fact: v1alpha1.OldPrimaryBreakGlass}}
	u.begin("breaking-glass", spec)
	u.reaches("breaking-glass", switchover.PhaseDone, patient)
	store, err := u.api.Stores().Get(t.Context(), "db", metav1.GetOptions{})
	check(t, err)
	if store.Status.TwoWritersPossible != "breaking-glass" {
		t.Errorf("that two writers were possible is not recorded: %+v", store.Status)
	}
	w.flows(0, "rz01.sh-a")
}
