package client

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestOfSeveralFailuresTheOneThatSaysMostIsTold: one server answers with its reason, the one after it is gone.
func TestOfSeveralFailuresTheOneThatSaysMostIsTold(t *testing.T) {
	const reason = "no quorum (not the leader, and none is known)"
	answers := newServer(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, reason, http.StatusServiceUnavailable) })
	gone := newServer(t, func(http.ResponseWriter, *http.Request) {})
	c := newTestClient(t, 300*time.Millisecond, answers, gone)
	gone.Close()
	for name, call := range map[string]func() error{
		"members":  func() error { _, err := c.Members(t.Context()); return err },
		"backup":   func() error { return c.Backup(t.Context(), &bytes.Buffer{}) },
		"transfer": func() error { return c.TransferLeadership(t.Context(), "a") },
	} {
		err := call()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want the server's reason", name, err)
		}
	}
}

func TestATransferToNoVoterIsRefusedInTheServersWords(t *testing.T) {
	const reason = `to: "nobody" is no voter`
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, reason, http.StatusUnprocessableEntity) })
	err := newTestClient(t, time.Minute, s).TransferLeadership(t.Context(), "nobody")
	if !errors.Is(err, ErrOrder) || !strings.Contains(err.Error(), reason) {
		t.Errorf("%v, want %v: %s", err, ErrOrder, reason)
	}
}

// TestEveryServerSaysItsOwnStatus: also the one that hangs and the one that is gone are listed, and delay nobody else.
func TestEveryServerSaysItsOwnStatus(t *testing.T) {
	says := newServer(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(`{"name":"` + r.URL.Path + `"}`)) })
	hangs := newServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	gone := newServer(t, func(http.ResponseWriter, *http.Request) {})
	c := newTestClient(t, time.Minute, hangs, says, gone)
	gone.Close()
	all := c.Statuses(t.Context(), time.Second)
	if len(all) != 3 || all[1].Err != nil || string(all[1].Page) != `{"name":"/pentad/status"}` || all[1].URL != says.URL {
		t.Errorf("%+v", all)
	}
	for _, i := range []int{0, 2} {
		if all[i].Err == nil || all[i].Page != nil {
			t.Errorf("server %d: %s, %v", i, all[i].Page, all[i].Err)
		}
	}
}
