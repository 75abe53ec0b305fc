package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
)

// watchRoom is a leader that judges clusters, round by round.
type watchRoom struct {
	patience patience
	now      time.Time
	voters   int
	servers  map[string]*Hearing
	away     map[string]bool // do not answer
	clusters []silentCluster
	limits   v1alpha1.Withdrawals
	// expired is what the intent says; held the last reason.
	expired map[string]bool
	held    string
}

const keepFor = time.Minute

// newWatchRoom has five voters that all hear the clusters, for an hour.
func newWatchRoom(broken expiryBreakage, clusters ...string) *watchRoom {
	all := int32(100)
	r := &watchRoom{
		patience: patience{broken: broken}, now: time.Unix(1000, 0), voters: 5, servers: map[string]*Hearing{},
		away: map[string]bool{}, limits: v1alpha1.Withdrawals{MaxPercent: &all}, expired: map[string]bool{},
	}
	for i := range r.voters {
		s := &Hearing{Server: fmt.Sprintf("s%d", i+1), Voter: true, Up: time.Hour, Clusters: map[string]ClusterHearing{}}
		for _, c := range clusters {
			s.Clusters[c] = ClusterHearing{Heard: true}
		}
		r.servers[s.Server] = s
	}
	for _, c := range clusters {
		r.clusters = append(r.clusters, silentCluster{name: c, uid: "uid-" + c, keep: keepFor})
	}
	return r
}

// hear has servers hear a cluster with an age; none named: all.
func (r *watchRoom) hear(cluster string, age time.Duration, servers ...string) {
	for name, s := range r.servers {
		if len(servers) == 0 || strings.Contains(strings.Join(servers, " "), name) {
			s.Clusters[cluster] = ClusterHearing{Heard: true, Age: age}
		}
	}
}

// restart has servers start again.
func (r *watchRoom) restart(names ...string) {
	for _, name := range names {
		s := r.servers[name]
		s.Up = 0
		for c := range s.Clusters {
			s.Clusters[c] = ClusterHearing{}
		}
	}
}

func (r *watchRoom) leave(names ...string) {
	for _, name := range names {
		r.away[name] = true
	}
}

// pass has time go by, in rounds, while nothing more is heard of the clusters named, and everything of the others.
func (r *watchRoom) pass(by time.Duration, silent ...string) {
	for end := r.now.Add(by); r.now.Before(end); {
		r.now = r.now.Add(asksHearing)
		for name, s := range r.servers {
			s.Up += asksHearing
			for c, h := range s.Clusters {
				switch quiet := strings.Contains(strings.Join(silent, " "), c); {
				case !quiet && !r.away[name]:
					s.Clusters[c] = ClusterHearing{Heard: true}
				case h.Heard:
					h.Age += asksHearing
					s.Clusters[c] = h
				}
			}
		}
		r.round()
	}
}

func (r *watchRoom) round() {
	h := Hearings{Voters: r.voters}
	for name, s := range r.servers {
		if !r.away[name] {
			h.Answers = append(h.Answers, *s)
		}
	}
	for i := range r.clusters {
		r.clusters[i].expired = r.expired[r.clusters[i].name]
	}
	v := r.patience.judge(r.now, h, r.clusters, r.limits)
	for _, c := range v.expire {
		r.expired[c.name] = true
	}
	for _, c := range v.revive {
		delete(r.expired, c.name)
	}
	r.held = v.held.GetReason()
}

// is says what is wrong; empty: nothing.
func (r *watchRoom) is(want ...string) string {
	got := map[string]bool{}
	for _, name := range want {
		got[name] = true
	}
	if fmt.Sprint(got) != fmt.Sprint(r.expired) {
		return fmt.Sprintf("expired are %v, want %q", r.expired, want)
	}
	return ""
}

// scene plays a story, and says what went wrong.
type scene func(broken expiryBreakage) string

func first(wrongs ...string) string {
	for _, w := range wrongs {
		if w != "" {
			return w
		}
	}
	return ""
}

var scenes = map[string]scene{
	"a silent cluster expires after keepFor, not before, and comes back": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a", "b")
		r.pass(keepFor-2*time.Second, "a")
		before := r.is()
		r.pass(2*settles, "a")
		expired := r.is("a")
		r.hear("a", 0, "s4")
		r.pass(asksHearing, "a")
		return first(before, expired, r.is())
	},
	"a minority hears nothing": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a")
		r.leave("s3", "s4", "s5") // and these may hear it
		r.pass(3*keepFor, "a")
		return r.is()
	},
	"the leader alone hears nothing, the others have just started": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a")
		r.pass(keepFor/2, "a")
		r.restart("s2", "s3", "s4", "s5")
		r.pass(keepFor-2*time.Second, "a")
		return r.is()
	},
	"one server hears it yet": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a")
		for range 20 {
			r.pass(10*time.Second, "a")
			r.hear("a", 8*time.Second, "s5")
		}
		return r.is()
	},
	"replicas have no vote": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a")
		for _, name := range []string{"s3", "s4", "s5"} {
			r.servers[name].Voter = false
		}
		r.pass(3*keepFor, "a")
		return r.is()
	},
	"what a server remembers does not bring it back": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a")
		r.pass(keepFor+3*settles, "a")
		expired := r.is("a")
		r.restart("s2") // what has just started has heard nothing, whatever its age is
		r.clusters[0].keep = 10 * keepFor
		r.pass(asksHearing, "a")
		return first(expired, r.is("a"))
	},
	"never is never, and takes an expiry back": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a", "b")
		r.clusters[1].keeps = true
		r.pass(3*keepFor, "a", "b")
		expired := r.is("a")
		r.clusters[0].keeps = true
		r.pass(asksHearing, "a", "b")
		return first(expired, r.is())
	},
	"stopped": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a", "b")
		r.pass(3*keepFor, "b")
		r.limits.Stopped = true
		r.pass(3*keepFor, "a", "b")
		stopped := r.is("b")
		if r.held != v1alpha1.ReasonStopped {
			return first(stopped, "held: "+r.held)
		}
		r.hear("b", 0)
		r.pass(asksHearing, "a") // what was withdrawn comes back all the same
		back := r.is()
		r.limits.Stopped = false
		r.pass(asksHearing, "a")
		return first(stopped, back, r.is("a"))
	},
	"more than may be at once": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a", "b", "c", "d")
		two := int32(2)
		r.limits.MaxClusters = &two
		r.pass(3*keepFor, "a")
		one := r.is("a")
		r.pass(3*keepFor, "a", "b", "c") // three would be: neither of the two goes
		bound := r.is("a")
		if r.held != v1alpha1.ReasonTooMany {
			return first(one, bound, "held: "+r.held)
		}
		r.hear("c", 0)
		r.pass(asksHearing, "a", "b")
		fits := r.is("a", "b")
		if r.held != "" {
			return first(fits, "held: "+r.held)
		}
		return first(one, bound, fits)
	},
	"a cluster that nobody ever heard of has nothing to withdraw": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a")
		for _, s := range r.servers {
			delete(s.Clusters, "a")
		}
		r.pass(3*keepFor, "a")
		return r.is()
	},
	"a leader that was away begins anew": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a")
		r.pass(keepFor+asksHearing, "a")
		before := r.is()
		r.now = r.now.Add(time.Hour) // stopped, and the others went on
		r.round()
		return first(before, r.is())
	},
	"another cluster of the name begins anew": func(b expiryBreakage) string {
		r := newWatchRoom(b, "a")
		r.pass(keepFor+asksHearing, "a")
		r.clusters[0].uid = "another"
		r.pass(asksHearing, "a")
		return r.is()
	},
}

func TestExpiry(t *testing.T) {
	for name, play := range scenes {
		if wrong := play(0); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
	}
}

func TestBrokenRulesOfExpiryAreFound(t *testing.T) {
	for name, broken := range map[string]expiryBreakage{
		"link lost read as workload dead": brokenKeepFor, "one server's judgement": brokenMajority,
		"no answer is no hearing": brokenAbsent, "who hears it is overruled": brokenVeto,
		"who has just started believed": brokenUp, "an old age revives": brokenOldAge,
		"switch ignored": brokenSwitch, "bound ignored": brokenBound,
	} {
		found := ""
		for scene, play := range scenes {
			if wrong := play(broken); wrong != "" {
				found = scene + ": " + wrong
			}
		}
		if found == "" {
			t.Errorf("%s: not found", name)
		}
		t.Logf("%s: %s", name, found)
	}
}

func TestWhatHoldsWithdrawalsBackNamesTheClustersAndTheField(t *testing.T) {
	r := newWatchRoom(0)
	var ripe []silentCluster
	for i := range 12 {
		ripe = append(ripe, silentCluster{name: fmt.Sprintf("c%02d", i)})
	}
	_, held := r.patience.allow(ripe, 3, 20, v1alpha1.Withdrawals{})
	for _, want := range []string{"c00", "c09 and 2 more", "15 would be", "at most 10", "spec.withdrawals.maxPercent 50 of 20"} {
		if !strings.Contains(held.GetMessage(), want) {
			t.Errorf("%q does not say %q", held.GetMessage(), want)
		}
	}
	_, held = r.patience.allow(ripe[:1], 0, 20, v1alpha1.Withdrawals{Stopped: true})
	if !strings.Contains(held.GetMessage(), "cluster c00 is") || !strings.Contains(held.GetMessage(), "spec.withdrawals.stopped") {
		t.Error(held.GetMessage())
	}
}
