package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

const (
	// lately is how old a sign of life of a cluster's writer may be to say that the cluster is heard. An older one proves
	// nothing: it may be what a server that was cut off remembers.
	lately = 5 * time.Second
	// asksHearing is how often the servers are asked what they hear of clusters.
	asksHearing = 2 * time.Second
	// settles is how long a majority must say the same before clusters expire: when a network heals, some servers answer
	// before the feeds have told them what the others heard.
	settles = 5 * time.Second
	// shownNames bounds the names in a message for people.
	shownNames = 10
)

// Hearing is what one server hears of clusters.
type Hearing struct {
	Server string
	// Voter says that its judgement counts for a majority.
	Voter bool
	// Up is how long it has listened without a break: of what it has not heard in that time it can say so.
	Up time.Duration
	// Clusters are those of which it holds a feed.
	Clusters map[string]ClusterHearing
}

// ClusterHearing is what a server hears of one cluster.
type ClusterHearing struct {
	// Heard says that it heard of it at all since it started, Age how long ago the youngest sign of life was given.
	Heard bool
	Age   time.Duration
}

// Hearings are the answers of the servers that were asked.
type Hearings struct {
	// Voters is how many there are, those that did not answer too.
	Voters  int
	Answers []Hearing
}

// silentCluster is a Cluster as its expiry needs it.
type silentCluster struct {
	name, uid string
	// keep is how long it may be silent; keeps: for ever.
	keep    time.Duration
	keeps   bool
	expired bool
}

// patience is what a leader remembers of clusters that could expire. It begins empty with each term; how long a cluster
// was not heard of it does not remember, the servers do.
type patience struct {
	asked time.Time
	// since is from when on every round has found that a cluster, by uid, could expire.
	since map[string]time.Time
	// broken breaks rules on purpose. Only tests set it.
	broken expiryBreakage
}

// verdict is what is to become of clusters.
type verdict struct {
	expire, revive []silentCluster
	held           *intentpb.Held
}

// judge decides, from what the servers said at now, whose endpoints are withdrawn and whose are back. Nothing is
// withdrawn unless a majority of the voters says that it has not heard of the cluster for its keepFor and nobody says
// otherwise; of who does not answer nothing is assumed. It is told in the declared order.
func (p *patience) judge(now time.Time, h Hearings, clusters []silentCluster, limits v1alpha1.Withdrawals) verdict {
	if now.Sub(p.asked) > 3*asksHearing {
		p.since = map[string]time.Time{} // who was away cannot say what it saw
	}
	p.asked = now
	var v verdict
	var ripe []silentCluster
	expired, present := 0, map[string]bool{}
	for _, c := range clusters {
		present[c.uid] = true
		gone := p.gone(h, c)
		if !gone {
			delete(p.since, c.uid)
		} else if _, ok := p.since[c.uid]; !ok {
			p.since[c.uid] = now
		}
		switch {
		case c.expired && (c.keeps || p.heard(h, c)):
			v.revive = append(v.revive, c)
		case c.expired:
			expired++
		case gone && now.Sub(p.since[c.uid]) >= settles:
			ripe = append(ripe, c)
		}
	}
	for uid := range p.since {
		if !present[uid] {
			delete(p.since, uid)
		}
	}
	v.expire, v.held = p.allow(ripe, expired, len(clusters), limits)
	return v
}

// gone says whether a majority has not heard of a cluster for its keepFor, and nobody has.
func (p *patience) gone(h Hearings, c silentCluster) bool {
	keep := c.keep
	if c.keeps {
		return false
	}
	if p.broken.has(brokenKeepFor) {
		keep = lately
	}
	say, known := 0, false
	for _, s := range h.Answers {
		said, holds := s.Clusters[c.name]
		known = known || holds
		if said.Heard && said.Age < keep && !p.broken.has(brokenVeto) {
			return false
		}
		silence := s.Up
		if said.Heard {
			silence = min(said.Age, s.Up)
		}
		if p.broken.has(brokenUp) && !said.Heard {
			silence = keep
		}
		if s.Voter && silence >= keep {
			say++
		}
	}
	need := h.Voters/2 + 1
	switch {
	case p.broken.has(brokenMajority):
		need = 1
	case p.broken.has(brokenAbsent):
		say += h.Voters - len(h.Answers)
	}
	return known && h.Voters > 0 && say >= need
}

// heard says whether any server has heard of a cluster just now.
func (p *patience) heard(h Hearings, c silentCluster) bool {
	return slices.ContainsFunc(h.Answers, func(s Hearing) bool {
		said := s.Clusters[c.name]
		if p.broken.has(brokenOldAge) {
			return said.Age < c.keep
		}
		return said.Heard && said.Age <= lately
	})
}

// allow holds what could expire to the switch and to the bound: above it, nobody does.
func (p *patience) allow(
	ripe []silentCluster, expired, clusters int, limits v1alpha1.Withdrawals,
) ([]silentCluster, *intentpb.Held) {
	if len(ripe) == 0 {
		return nil, nil
	}
	most, because := limits.Bound(clusters)
	switch {
	case limits.Stopped && !p.broken.has(brokenSwitch):
		return nil, &intentpb.Held{Reason: v1alpha1.ReasonStopped, Message: fmt.Sprintf(
			"%s not heard of for spec.onSilence.keepFor, and kept because spec.withdrawals.stopped is true", listed(ripe))}
	case expired+len(ripe) > most && !p.broken.has(brokenBound):
		return nil, &intentpb.Held{Reason: v1alpha1.ReasonTooMany, Message: fmt.Sprintf(
			"%s not heard of for spec.onSilence.keepFor, and kept: with %d withdrawn already, %d would be at once, "+
				"at most %d may (%s)", listed(ripe), expired, expired+len(ripe), most, because)}
	}
	return ripe, nil
}

// listed names clusters, as many as people read.
func listed(clusters []silentCluster) string {
	var names []string
	for _, c := range clusters {
		names = append(names, c.name)
	}
	slices.Sort(names)
	text := strings.Join(names[:min(len(names), shownNames)], ", ")
	if more := len(names) - shownNames; more > 0 {
		return fmt.Sprintf("clusters %s and %d more are", text, more)
	}
	if len(names) == 1 {
		return "cluster " + text + " is"
	}
	return "clusters " + text + " are"
}

// declaredClusters are the Clusters in a picture of the intent, with the Estate's limits.
func declaredClusters(view intent.View) ([]silentCluster, v1alpha1.Withdrawals) {
	var all []silentCluster
	for c := range view.Lookup().Clusters() {
		keep, may := c.Spec.KeepFor()
		all = append(all, silentCluster{
			name: c.Name, uid: string(c.UID), keep: keep, keeps: !may, expired: view.Expired(c.Name),
		})
	}
	if estate, ok := view.Estate(); ok {
		return all, estate.Spec.Withdrawals
	}
	return all, v1alpha1.Withdrawals{}
}
