package server

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPermitsThatAnElectionEndsAreRefused: rule 5 of intent.
func TestPermitsThatAnElectionEndsAreRefused(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 1)
	e.configs[0].adjust.ShortPermits = false
	e.configs[0].ElectionTimeout = &metav1.Duration{Duration: 300 * time.Millisecond}
	e.configs[0].RoundTrip = &metav1.Duration{Duration: 60 * time.Millisecond}
	e.start(0)
	e.leader()
	declare := func(permit time.Duration) error {
		_, err := e.api(0, patient).Unitizations().Create(t.Context(), users(permit), createOptions)
		return err
	}
	refused(t, declare(2919*time.Millisecond), apierrors.IsInvalid, "spec.permit.duration",
		"must be at least 2.92s (a renewal each 1s, 6 times the servers' electionTimeout of 300ms, 2 times their roundTrip of 60ms)")
	// Its stores and centers are missing all the same: what is refused then is no permit.
	if err := declare(2920 * time.Millisecond); !apierrors.IsInvalid(err) || strings.Contains(err.Error(), "spec.permit") {
		t.Errorf("long enough: %v", err)
	}
	// Planted: the bound is not there.
	e.stop(0)
	e.configs[0].adjust.ShortPermits = true
	e.start(0)
	e.leader()
	if err := declare(time.Second); !apierrors.IsInvalid(err) || strings.Contains(err.Error(), "spec.permit") {
		t.Errorf("without the bound: %v", err)
	}
}
