package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/switchover"
)

func relayOpen(session string) *permitpb.Open {
	return &permitpb.Open{
		Session: session, Holder: permitpb.Holder_HOLDER_RELAY, Name: "relay", Cluster: "hz-a-vm", Center: "hz-a",
	}
}

// rooted runs a root in virtual time.
func rooted(t *testing.T, broken breakage, test func(*testing.T, *Root, *authority)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		r := must(NewRoot(RootConfig{Authority: a, broken: broken}))
		stop := running(r.Run)
		defer stop()
		test(t, r, a)
	})
}

// answerTo opens a session and asks once.
func answerTo(r *Root, session string) (*permitpb.Answer, error) {
	l, err := r.Open(context.Background(), relayOpen(session))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.Answer(context.Background(), &permitpb.Ask{Number: 1})
}

func TestAThousandAsksAreOneRead(t *testing.T) {
	rooted(t, 0, func(t *testing.T, r *Root, a *authority) {
		var leases []Lease
		for i := range 1000 {
			leases = append(leases, must(r.Open(context.Background(), relayOpen(fmt.Sprint("s", i)))))
		}
		var wg sync.WaitGroup
		for _, l := range leases {
			wg.Go(func() {
				if _, err := l.Answer(context.Background(), &permitpb.Ask{Number: 1}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if a.reads != 1 {
			t.Errorf("%d reads for asks that came together", a.reads)
		}
	})
}

// readsBeforeTheAsk says whether an answer can miss a freeze that was committed before its ask: one read is under way,
// the freeze is committed, then the ask comes.
func readsBeforeTheAsk(t *testing.T, broken breakage) (missed bool) {
	rooted(t, broken, func(t *testing.T, r *Root, a *authority) {
		early := must(r.Open(context.Background(), relayOpen("s1")))
		late := must(r.Open(context.Background(), relayOpen("s2")))
		a.set(func(a *authority) { a.delay = 100 * time.Millisecond })
		var wg sync.WaitGroup
		wg.Go(func() { early.Answer(context.Background(), &permitpb.Ask{Number: 1}) })
		time.Sleep(50 * time.Millisecond)
		a.set(func(a *authority) { a.lagging = true })
		a.freeze() // committed elsewhere, not applied here yet
		f := a.state.Epoch + 1
		wg.Go(func() {
			answer, err := late.Answer(context.Background(), &permitpb.Ask{Number: 1})
			if err != nil {
				t.Error(err)
				return
			}
			missed = answer.Maps[0].Epoch < f
		})
		time.Sleep(120 * time.Millisecond)
		time.AfterFunc(200*time.Millisecond, a.catchUp)
		wg.Wait()
	})
	return missed
}

func TestAnAnswerRestsOnAReadThatBeganAfterTheAsk(t *testing.T) {
	if readsBeforeTheAsk(t, 0) {
		t.Error("a freeze was missed that had been committed before the ask")
	}
	if !readsBeforeTheAsk(t, brokenJoinsPresent) {
		t.Error("planted: an ask shares the read under way: not found")
	}
	if !readsBeforeTheAsk(t, brokenStaleState) {
		t.Error("planted: the replica's state without the revision: not found")
	}
}

func TestOnlySessionsInTheLogGetPermits(t *testing.T) {
	for name, c := range map[string]struct {
		broken  breakage
		prepare func(*authority)
		want    error
	}{
		"a session that cannot be registered": {brokenUnregistered, func(a *authority) {
			a.openErr = errors.New("no quorum")
		}, errAny},
		"a closed session": {0, func(a *authority) {
			a.state.Sessions["s1"] = &switchover.Session{ID: "s1", Holder: switchover.Relay, Name: "relay",
				Cluster: "hz-a-vm", Center: "hz-a", Closed: true}
		}, permit.ErrSessionClosed},
		"another's session": {0, func(a *authority) {
			a.state.Sessions["s1"] = &switchover.Session{ID: "s1", Holder: switchover.Relay, Name: "relay",
				Cluster: "hz-a-vm", Center: "hz-b"}
		}, permit.ErrDenied},
	} {
		ask := func(broken breakage) (err error) {
			rooted(t, broken, func(_ *testing.T, r *Root, a *authority) {
				a.set(c.prepare)
				_, err = answerTo(r, "s1")
			})
			return err
		}
		if err := ask(0); err == nil || c.want != errAny && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.broken != 0 && ask(c.broken) != nil {
			t.Errorf("planted: %s gets a permit: not found", name)
		}
	}
}

var errAny = errors.New("any")

func TestASessionThatIsClosedBetweenAsksGetsNoMore(t *testing.T) {
	closes := func(broken breakage) (err error) {
		rooted(t, broken, func(t *testing.T, r *Root, a *authority) {
			l := must(r.Open(context.Background(), relayOpen("s1")))
			if _, err := l.Answer(context.Background(), &permitpb.Ask{Number: 1}); err != nil {
				t.Fatal(err)
			}
			a.commit(func(s *switchover.State) {
				closed := *s.Sessions["s1"]
				closed.Closed = true
				s.Sessions = map[string]*switchover.Session{"s1": &closed}
			})
			_, err = l.Answer(context.Background(), &permitpb.Ask{Number: 2})
		})
		return err
	}
	if err := closes(0); !errors.Is(err, permit.ErrSessionClosed) {
		t.Errorf("%v, want %v", err, permit.ErrSessionClosed)
	}
	if closes(brokenClosedSession) != nil {
		t.Error("planted: a closed session gets permits: not found")
	}
}

func TestHintsAreForWhatPermitsSay(t *testing.T) {
	rooted(t, 0, func(t *testing.T, r *Root, a *authority) {
		l := must(r.Open(context.Background(), relayOpen("s1")))
		hinted := func() bool {
			synctest.Wait()
			select {
			case <-l.Hints():
				return true
			default:
				return false
			}
		}
		synctest.Wait()
		a.OpenSession(context.Background(), switchover.Session{ID: "s9", Holder: switchover.Relay})
		if hinted() {
			t.Error("a hint because of a session")
		}
		f := a.freeze()
		if !hinted() {
			t.Error("no hint of a freeze")
		}
		a.AckFreeze(context.Background(), []switchover.AckFreeze{{Session: "s1", Freeze: f}})
		if hinted() {
			t.Error("a hint because of an acknowledgement")
		}
		a.commit(func(s *switchover.State) {
			s.Stores = map[string]*switchover.Store{"o": {Members: []string{"hz-a"}, Primary: "hz-a"}}
		})
		if !hinted() {
			t.Error("no hint of a store")
		}
	})
}

func TestWithoutAReadThereIsNoAnswer(t *testing.T) {
	rooted(t, 0, func(t *testing.T, r *Root, a *authority) {
		l := must(r.Open(context.Background(), relayOpen("s1")))
		a.set(func(a *authority) { a.delay = time.Hour })
		begun := time.Now()
		if _, err := l.Answer(context.Background(), &permitpb.Ask{Number: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want a deadline", err)
		}
		if took := time.Since(begun); took > 1100*time.Millisecond {
			t.Errorf("said so only after %s", took)
		}
		if code := refusal(fmt.Errorf("x: %w", context.DeadlineExceeded)).Error(); code == "" {
			t.Error("no status")
		}
	})
}

func TestProgressTellsWhoAsks(t *testing.T) {
	rooted(t, 0, func(t *testing.T, r *Root, a *authority) {
		l := must(r.Open(context.Background(), relayOpen("s1")))
		l.Answer(context.Background(), &permitpb.Ask{Number: 1, Rendered: 7})
		time.Sleep(3 * time.Second)
		got := r.Progress()
		if len(got) != 1 || got[0].Session != "s1" || got[0].Rendered != 7 || got[0].Age < 3*time.Second {
			t.Errorf("progress %+v", got)
		}
		l.Close()
		if got := r.Progress(); len(got) != 1 {
			t.Errorf("after its stream: %+v", got)
		}
		a.commit(func(s *switchover.State) { s.Sessions = nil })
		if got := r.Progress(); len(got) != 0 {
			t.Errorf("after its removal: %+v", got)
		}
	})
}
