package intent

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// lives are an estate in the middle of a switchover, a backup of that, and what became of the estate afterwards, which is
// lost.
type lives struct {
	config Config
	lost   *estate
	file   []byte
	// first is a command that is in the backup, told its answer.
	first, told []byte
}

func twoLives(t *testing.T, config Config) *lives {
	t.Helper()
	e := withUnits(t, config).raised()
	e.must(e.transition(&intentpb.CreateToken{Token: tokenHash(1), ExpiresAtUnixMs: (epoch + 7200) * 1000, Creator: "ops"}))
	e.relay("hz-a")
	e.add(evacuation("out", "hangzhou"))
	for range 2 { // to Frozen
		e.must(e.next(e.View().Ownership(), e.switchover("out")))
	}
	l := &lives{config: config, lost: e}
	l.first = encode(e.creation(v1alpha1.KindCenter, "gz-a", toJSON(e.fresh(center("gz-a", "guangzhou", v1alpha1.CenterFull), e.View().Lookup()))))
	e.index++
	l.told = e.Apply(e.index, l.first)
	l.file = save(e.FSM)
	for range 6 {
		if c := e.next(e.View().Ownership(), e.switchover("out")); c != nil {
			e.must(c)
		}
	}
	e.must(e.remove(v1alpha1.KindCenter, "gz-a"))
	e.add(center("wh-a", "wuhan", v1alpha1.CenterFull))
	return l
}

// again is the backup's state in a second life.
func (l *lives) again() (*FSM, error) {
	f := mustNew(l.config)
	if err := f.Restore(reader(l.file)); err != nil {
		return nil, err
	}
	self := aServer("s1", 7)
	self.Voter = true
	return f, f.Reincarnate(later, self, time.Minute)
}

// judge says what of rule 8 does not hold for who has seen the life that was lost.
func (l *lives) judge() error {
	f, err := l.again()
	if err != nil {
		return err
	}
	lost, now := l.lost.View(), f.View()
	o := now.Ownership()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if f.Incarnation() <= l.lost.Incarnation() || now.Revision() <= lost.Revision() || now.Revision()>>revisionBits != f.Incarnation() {
		bad("incarnation %d after %d, revision %d after %d", f.Incarnation(), l.lost.Incarnation(), now.Revision(), lost.Revision())
	}
	if o.Epoch <= lost.Ownership().Epoch || o.Epoch>>revisionBits != f.Incarnation() {
		bad("epoch %d after %d, in incarnation %d", o.Epoch, lost.Ownership().Epoch, f.Incarnation())
	}
	if n := len(o.Sessions); n > 0 {
		bad("%d sessions live on", n)
	}
	if servers := f.Everyone(); len(servers) != 1 || servers[0].GetFolder() != folderOf(7) || len(f.Tokens()) > 0 || !f.Founded() {
		bad("servers %v, tokens %v", servers, f.Tokens())
	}
	if f.Level() < restoredLevel {
		bad("level %d: nobody could reconcile", f.Level())
	}
	if sw := o.Switchovers["out"]; !sw.Phase.Ended() || o.Restored == nil || o.Restored.Wait != time.Minute {
		bad("switchover %s, %+v", sw.Phase, o.Restored)
	}
	for _, kind := range []string{v1alpha1.KindStore, v1alpha1.KindUnitization, v1alpha1.KindSwitchover} {
		now.Range(kind, "", func(object *Object) bool {
			if object.Revision>>revisionBits != f.Incarnation() && !strings.Contains(string(object.Value), `"Planned"`) {
				bad("%s %s still shows what was", kind, object.Name)
			}
			return true
		})
	}
	errs = append(errs, l.noticed(f), coherent(f))
	if got := f.Apply(9, l.first); !bytes.Equal(got, l.told) {
		bad("a retry of what is in the backup is answered %x, it was %x", got, l.told)
	}
	return errors.Join(errs...)
}

// noticed says whether those notice who hold the feed of the lost life, or watch from there.
func (l *lives) noticed(f *FSM) error {
	cursor := f.Feed().Cursor(l.lost.Feed().Position())
	defer cursor.Close()
	if batch, ok := cursor.Next(); !ok || !batch.Reset || batch.To != (feed.Position{Incarnation: f.Incarnation(), Seq: f.Revision()}) {
		return fmt.Errorf("a reader of the lost life gets %v to %v, reset %t", ok, batch.To, batch.Reset)
	}
	if _, err := f.Watch(v1alpha1.KindCenter, l.lost.Revision()); !errors.Is(err, ErrCompacted) {
		return fmt.Errorf("a watch from the lost life: %v", err)
	}
	return nil
}

func TestASecondLifeIsNoticedByAll(t *testing.T) {
	if err := twoLives(t, Config{}).judge(); err != nil {
		t.Error(err)
	}
}

func TestPlantedBugsOfSecondLivesAreFound(t *testing.T) {
	var table strings.Builder
	for _, bug := range []struct {
		rule breakage
		name string
	}{
		{brokenIncarnationReused, "an incarnation is used again"},
		{brokenRevisionKept, "the revision is not raised"},
		{brokenLifeInSession, "sessions, tokens and servers live on"},
		{brokenAnswersNotSaved, "answers are not in the backup"},
		{brokenStatusStays, "objects show what was before"},
	} {
		t.Run(bug.name, func(t *testing.T) {
			err := twoLives(t, Config{broken: bug.rule}).judge()
			if err == nil {
				t.Fatal("not found")
			}
			first, _, _ := strings.Cut(err.Error(), "\n")
			fmt.Fprintf(&table, "%-40s %.110s\n", bug.name, first)
		})
	}
	t.Logf("planted bugs and what found them\n%s", table.String())
}
