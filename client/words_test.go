package client

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOfSeveralFailuresTheOneThatSaysMostIsTold: one server answers with its reason, the one after it is gone.
func TestOfSeveralFailuresTheOneThatSaysMostIsTold(t *testing.T) {
	const reason = "no quorum (not the leader, and none is known)"
	synctest.Test(t, func(t *testing.T) {
		answers := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, reason, http.StatusServiceUnavailable) }
		c := newBubbleClient(t, time.Minute, answers, nil)
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
	})
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
	synctest.Test(t, func(t *testing.T) {
		says := func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(`{"name":"` + r.URL.Path + `"}`)) }
		c := newBubbleClient(t, time.Minute, silent, says, nil)
		start := time.Now()
		all := c.Statuses(t.Context(), time.Second)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %s, want as long as the one that hangs may take", took)
		}
		if len(all) != 3 || all[1].Err != nil || string(all[1].Page) != `{"name":"/pentad/status"}` || all[1].URL != "https://s1:443" {
			t.Errorf("%+v", all)
		}
		for _, i := range []int{0, 2} {
			if all[i].Err == nil || all[i].Page != nil {
				t.Errorf("server %d: %s, %v", i, all[i].Page, all[i].Err)
			}
		}
	})
}
