package server

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// TestAReaderThatStallsIsLetGoOf: one that takes nothing ends its answer, one that is slow gets it whole.
func TestAReaderThatStallsIsLetGoOf(t *testing.T) {
	t.Parallel()
	piece := make([]byte, 64<<10)
	const pieces, patience = 256, 5 * time.Second // 16 MiB: more than any buffer on the way takes
	ended := make(chan error, 1)
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		to := newSteady(w, patience)
		var err error
		for n := 0; n < pieces && err == nil; n++ {
			_, err = to.Write(piece)
		}
		if err == nil {
			err = to.finish()
		}
		ended <- err
	}))
	site.EnableHTTP2 = true
	site.StartTLS()
	defer site.Close()
	get := func() *http.Response {
		t.Helper()
		answer, err := site.Client().Get(site.URL)
		if err != nil {
			t.Fatal(err)
		}
		if answer.ProtoMajor != 2 {
			t.Fatalf("over %s, as the API is not", answer.Proto)
		}
		return answer
	}

	slow := get()
	var got int64
	for began := time.Now(); time.Since(began) < 2*patience; time.Sleep(patience / 10) {
		n, err := io.CopyN(io.Discard, slow.Body, 256<<10)
		if got += n; err != nil {
			t.Fatalf("a slow reader was let go of after %d bytes: %v", got, err)
		}
	}
	rest, err := io.Copy(io.Discard, slow.Body)
	if got += rest; err != nil || got != pieces*int64(len(piece)) || <-ended != nil {
		t.Errorf("a slow reader got %d bytes, %v", got, err)
	}

	stalled := get()
	defer stalled.Body.Close()
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("with a reader that has stalled it ends with %v", err)
	}
	if _, err := io.Copy(io.Discard, stalled.Body); err == nil {
		t.Error("a reader that has stalled sees a regular end")
	}
}
