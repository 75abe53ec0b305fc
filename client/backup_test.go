package client

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestABackupTakesAsLongAsSomethingComes: the whole of it takes much longer than a call may, and than nothing may come.
func TestABackupTakesAsLongAsSomethingComes(t *testing.T) {
	const pieces, pause = 20, stallsAfter - time.Second
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		c := newBubbleClient(t, time.Second, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			for range pieces {
				_, _ = w.Write([]byte("piece\n"))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(pause)
			}
		})
		var got bytes.Buffer
		if err := c.Backup(t.Context(), &got); err != nil || got.String() != strings.Repeat("piece\n", pieces) {
			t.Errorf("%d bytes, %v", got.Len(), err)
		}
		if asked.Load() != 1 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}

func TestABackupOfWhichNothingMoreComesIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBubbleClient(t, time.Second, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("piece\n"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		var got bytes.Buffer
		start := time.Now()
		if err := c.Backup(t.Context(), &got); !errors.Is(err, ErrStalled) || got.String() != "piece\n" {
			t.Errorf("%q, %v", got.String(), err)
		}
		if took := time.Since(start); took != stallsAfter {
			t.Errorf("given up after %s, want %s", took, stallsAfter)
		}
	})
}
