package client

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
)

// approved answers with a switchover.
func approved(w http.ResponseWriter, _ *http.Request) {
	out := &v1alpha1.Switchover{ObjectMeta: metav1.ObjectMeta{Name: "s"}}
	out.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindSwitchover))
	out.Status.Phase = v1alpha1.PhaseApproved
	send(w, http.StatusCreated, out)
}

func TestDecisionsArePosted(t *testing.T) {
	var method, path string
	var body map[string]any
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		method, path, body = r.Method, r.URL.Path, nil
		_ = json.NewDecoder(r.Body).Decode(&body)
		approved(w, r)
	})
	c := newTestClient(t, time.Minute, s).Switchovers()
	const at = "/apis/pentad.dev/v1alpha1/switchovers/s/"
	out, err := c.Approve(t.Context(), "s", "abc")
	if err != nil || out.Status.Phase != v1alpha1.PhaseApproved || method != "POST" || path != at+"approve" ||
		body["planHash"] != "abc" || body["kind"] != "SwitchoverApproval" {
		t.Errorf("approve: %+v, %v after %s %s %v", out, err, method, path, body)
	}
	if _, err := c.Abort(t.Context(), "s", "why"); err != nil || path != at+"abort" || body["reason"] != "why" ||
		body["kind"] != "SwitchoverAbort" {
		t.Errorf("abort: %v after %s %v", err, path, body)
	}
}

// TestDecisionsAreRepeated: doing them twice is the same as once.
func TestDecisionsAreRepeated(t *testing.T) {
	for fault, answer := range map[string]http.HandlerFunc{
		"hung up": hangUp, "timed out": refuse(apierrors.NewTimeoutError("leader lost", 0)),
	} {
		c := newTestClient(t, time.Minute, newServer(t, answer), newServer(t, approved)).Switchovers()
		if _, err := c.Approve(t.Context(), "s", "abc"); err != nil {
			t.Errorf("approve, %s: %v", fault, err)
		}
		if _, err := c.Abort(t.Context(), "s", ""); err != nil {
			t.Errorf("abort, %s: %v", fault, err)
		}
	}
}

func TestAnotherPlanIsAConflict(t *testing.T) {
	resource := v1alpha1.GroupVersion.WithResource("switchovers").GroupResource()
	first := newServer(t, refuse(apierrors.NewConflict(resource, "s", errors.New("x"))))
	second := newServer(t, approved)
	_, err := newTestClient(t, time.Minute, first, second).Switchovers().Approve(t.Context(), "s", "abc")
	if !apierrors.IsConflict(err) || second.requests.Load() != 0 {
		t.Errorf("%v after %d requests to another server, want a conflict that is final", err, second.requests.Load())
	}
}
