package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// DefaultKeepFor is how long the endpoints of a cluster that nobody hears of are kept where nobody says otherwise.
	DefaultKeepFor = 24 * time.Hour
	// MinKeepFor leaves time to demote endpoints before they are withdrawn, and to elect a leader.
	MinKeepFor = 10 * time.Second
	// KeepForNever is the keepFor of a cluster whose endpoints are never withdrawn.
	KeepForNever = "never"
)

// ConditionExpired is the type of a Cluster's condition that is True while its endpoints are withdrawn.
const ConditionExpired = "Expired"

// Reasons of ConditionExpired.
const (
	// ReasonNotHeard: a majority of the servers has not heard of the cluster for its onSilence.keepFor.
	ReasonNotHeard = "NotHeard"
	// ReasonHeardAgain: a server has heard of it again, or its keepFor is never.
	ReasonHeardAgain = "HeardAgain"
)

// OnSilence says what becomes of a cluster's endpoints when nothing is heard of its agent. They are demoted behind
// every live one within seconds, in any case.
type OnSilence struct {
	// keepFor is how long they are kept: a duration of at least 10s, as 90m or 24h, or never. They are withdrawn once a
	// majority of the federation servers has not heard of the cluster for so long. Absent: 24h.
	// +optional
	KeepFor string `json:"keepFor,omitempty"`
}

// KeepFor is how long the endpoints are kept; ok is false when they are never withdrawn.
func (s ClusterSpec) KeepFor() (keep time.Duration, ok bool) {
	switch {
	case s.OnSilence == nil || s.OnSilence.KeepFor == "":
		return DefaultKeepFor, true
	case s.OnSilence.KeepFor == KeepForNever:
		return 0, false
	}
	keep, err := time.ParseDuration(s.OnSilence.KeepFor)
	return keep, err == nil // validation refuses what is no duration
}

func validateOnSilence(path *field.Path, o *OnSilence) field.ErrorList {
	if o == nil || o.KeepFor == "" || o.KeepFor == KeepForNever {
		return nil
	}
	keep, err := time.ParseDuration(o.KeepFor)
	if err != nil || keep < MinKeepFor {
		return field.ErrorList{field.Invalid(path.Child("keepFor"), o.KeepFor,
			"must be a duration of at least 10s, as 90m or 24h, or never")}
	}
	return nil
}

// Expiry is what was decided of a cluster's endpoints.
//
// +k8s:deepcopy-gen=false
// +k8s:openapi-gen=false
type Expiry struct {
	// Expired: they are withdrawn.
	Expired bool
	// Since is when that was decided, by the clock of whoever proposed it.
	Since time.Time
}

// condition is an expiry as it shows in a status.
func (e Expiry) condition() metav1.Condition {
	c := metav1.Condition{
		Type: ConditionExpired, Status: metav1.ConditionFalse, Reason: ReasonHeardAgain,
		LastTransitionTime: metav1.NewTime(e.Since.UTC().Truncate(time.Second)), // what JSON keeps of it
		Message:            "its endpoints are in the catalog again",
	}
	if e.Expired {
		c.Status, c.Reason = metav1.ConditionTrue, ReasonNotHeard
		c.Message = "a majority of the servers has not heard of it for spec.onSilence.keepFor: its endpoints are withdrawn " +
			"until it is heard of again"
	}
	return c
}
