package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"pentad.dev/pentad/crds/v1alpha1"
)

// silent never answers.
func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestCallsGiveUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		noQuorum := func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			refuse(apierrors.NewServiceUnavailable("no quorum"))(w, r)
		}
		c := newBubbleClient(t, 700*time.Millisecond, noQuorum, silent)
		c.readAttempt = 100 * time.Millisecond
		start := time.Now()
		_, err := c.Centers().Get(t.Context(), "hz-a", metav1.GetOptions{})
		if took := time.Since(start); took != c.timeout {
			t.Errorf("gave up after %s, want %s", took, c.timeout)
		}
		if !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), "no quorum") {
			t.Errorf("%v: want the last answer", err)
		}
		if n := asked.Load(); n < 2 || n > 20 {
			t.Errorf("asked %d times, want some, with growing pauses", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start = time.Now()
		if _, err := c.Centers().Get(ctx, "hz-a", metav1.GetOptions{}); err == nil || time.Since(start) != 50*time.Millisecond {
			t.Errorf("%v after %s, want the caller's end", err, time.Since(start))
		}
	})
}

func TestWatchIsOpenedWhereItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := make(chan struct{})
		second := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintln(w, `{"type":"ADDED","object":{"apiVersion":"pentad.dev/v1alpha1","kind":"Center",`+
				`"metadata":{"name":"hz-a","resourceVersion":"7"}}}`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			close(stopped)
		}
		c := newBubbleClient(t, time.Second, refuse(apierrors.NewServiceUnavailable("stopping")), silent, second)
		c.readAttempt = 100 * time.Millisecond
		w, err := c.Centers().Watch(t.Context(), metav1.ListOptions{ResourceVersion: "6"})
		if err != nil {
			t.Fatal(err)
		}
		event := <-w.ResultChan()
		if got, ok := event.Object.(*v1alpha1.Center); event.Type != watch.Added || !ok || got.Name != "hz-a" {
			t.Errorf("event %+v", event)
		}
		select {
		case event, open := <-w.ResultChan():
			t.Errorf("the watch ended with the time to open it: %+v, %v", event, open)
		case <-time.After(time.Hour):
		}
		w.Stop()
		select {
		case <-stopped:
		case <-time.After(2 * time.Second):
			t.Error("the server was not told that the watch stopped")
		}
	})
}
