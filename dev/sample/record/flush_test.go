package record

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// What a sudden death may take is what was told since the last flush; so long ago, to the moment, is the last flush.
func TestWhatAJournalWasToldIsInTheFileAfterTheFlush(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x"+JournalExtension)
	synctest.Test(t, func(t *testing.T) {
		j, err := CreateJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 { // the timer is armed anew each time
			for range 2 {
				j.Add(Entry{What: Admitted, At: Now()})
				time.Sleep(JournalFlush / 5)
			}
			time.Sleep(JournalFlush - 2*(JournalFlush/5))
			synctest.Wait()
			if got, err := ReadJournal(path); err != nil || len(got) != 2*(n+1) {
				t.Errorf("%d entries are in the file, want %d (%v)", len(got), 2*(n+1), err)
			}
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestARequestThatEndedIsInTheFileAfterTheFlush(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x"+FileExtension)
	synctest.Test(t, func(t *testing.T) {
		w, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		time.Sleep(FlushEvery / 5) // at any moment between two flushes
		w.Start("slow", Now())
		w.End(w.Start("quick", Now()), Line{End: Now()})
		time.Sleep(FlushEvery)
		synctest.Wait()
		if ended, _, err := r.Next(); err != nil || len(ended) != 1 || len(r.InFlight()) != 1 {
			t.Errorf("%d ended and %d in flight are in the file, want 1 and 1 (%v)", len(ended), len(r.InFlight()), err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}
