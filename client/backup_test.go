package client

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestABackupTakesAsLongAsSomethingComes: the whole of it takes much longer than a call may, and than nothing may come.
func TestABackupTakesAsLongAsSomethingComes(t *testing.T) {
	const pieces, pause = 20, 100 * time.Millisecond
	slow := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		for range pieces {
			_, _ = w.Write([]byte("piece\n"))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(pause)
		}
	})
	c := newTestClient(t, time.Second, slow)
	c.stall = 15 * pause
	var got bytes.Buffer
	if err := c.Backup(t.Context(), &got); err != nil || got.String() != strings.Repeat("piece\n", pieces) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	if slow.requests.Load() != 1 {
		t.Errorf("asked %d times", slow.requests.Load())
	}
}

func TestABackupOfWhichNothingMoreComesIsGivenUp(t *testing.T) {
	stuck := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("piece\n"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	c := newTestClient(t, time.Second, stuck)
	c.stall = 200 * time.Millisecond
	var got bytes.Buffer
	if err := c.Backup(t.Context(), &got); !errors.Is(err, ErrStalled) || got.String() != "piece\n" {
		t.Errorf("%q, %v", got.String(), err)
	}
}
