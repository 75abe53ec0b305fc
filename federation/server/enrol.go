package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pentad.dev/pentad/federation/intent/intentpb"
)

// asked is what a server of the configuration said to one that is enrolled in nothing.
type asked struct {
	answer *intentpb.EnrolResponse
	err    error // why there is no answer
}

// verdict is what a server does that is enrolled in nothing. Exactly one of its fields is set.
type verdict struct {
	// waits is for whom, or for what.
	waits []string
	// refused is why it never will be enrolled with this data folder and this configuration.
	refused error
	// enrol is the cluster that knows it.
	enrol *intentpb.EnrolResponse
	// found is the roster of the cluster that it makes: it has heard everyone, and has the lowest name.
	found map[string]string
}

// decide follows from what a server knows of itself and what it has heard. A new cluster begins only when all servers
// that are expected are there, at once, with the same expectation and enrolled in nothing: so a start in parts never makes
// two, and a server that lost its disk, and with it its promises, never votes in the old one again.
func decide(self *intentpb.EnrolRequest, heard map[string]asked) verdict {
	if v, known := byEnrolled(self.GetServer(), heard); known {
		return v
	}
	name := self.GetServer().GetName()
	roster := map[string]string{name: self.GetServer().GetFolder()}
	var waits []string
	lowest := name
	for _, e := range self.GetExpected() {
		other := e.GetName()
		if other == name {
			continue
		}
		lowest = min(lowest, other)
		switch a := heard[other]; {
		case a.answer == nil:
			waits = append(waits, fmt.Sprintf("server %s (%s)", other, reason(a.err)))
		case a.answer.GetServer().GetName() != other:
			waits = append(waits, fmt.Sprintf("server %s (at its address is server %s)", other, a.answer.GetServer().GetName()))
		case !sameExpected(self.GetExpected(), a.answer.GetExpected()):
			waits = append(waits, fmt.Sprintf("server %s to have the same list of servers: here %s, there %s",
				other, listed(self.GetExpected()), listed(a.answer.GetExpected())))
		default:
			roster[other] = a.answer.GetServer().GetFolder()
		}
	}
	switch {
	case len(waits) > 0:
		return verdict{waits: waits}
	case lowest != name:
		return verdict{waits: []string{fmt.Sprintf("server %s to begin the cluster", lowest)}}
	}
	return verdict{found: roster}
}

// byEnrolled is what servers say that are enrolled; known is false when none is.
func byEnrolled(self *intentpb.Server, heard map[string]asked) (v verdict, known bool) {
	clusters := map[string][]string{}
	standings := map[intentpb.Standing]*intentpb.EnrolResponse{}
	for _, name := range slices.Sorted(maps.Keys(heard)) {
		if a := heard[name].answer; a.GetCluster() != "" {
			clusters[a.GetCluster()] = append(clusters[a.GetCluster()], name)
			standings[a.GetStanding()] = a
		}
	}
	if len(clusters) > 1 {
		var said []string
		for _, id := range slices.Sorted(maps.Keys(clusters)) {
			said = append(said, fmt.Sprintf("%s of cluster %s", strings.Join(clusters[id], ", "), id))
		}
		return verdict{refused: fmt.Errorf("servers: are of different clusters: %s: name those of one", strings.Join(said, "; "))}, true
	}
	if len(clusters) == 0 {
		return verdict{}, false
	}
	name := self.GetName()
	for _, standing := range []intentpb.Standing{
		intentpb.Standing_STANDING_REMOVED, intentpb.Standing_STANDING_OTHER_FOLDER, intentpb.Standing_STANDING_MEMBER,
	} {
		a := standings[standing]
		switch {
		case a == nil:
		case standing == intentpb.Standing_STANDING_MEMBER:
			return verdict{enrol: a}, true
		case standing == intentpb.Standing_STANDING_REMOVED:
			return verdict{refused: fmt.Errorf("server %s was removed from cluster %s: to let it in again, set join to a token "+
				"of `pentad member invite`", name, a.GetCluster())}, true
		default:
			return verdict{refused: fmt.Errorf("server %s is known to cluster %s with data folder %s, this one is %s and empty: "+
				"its disk was lost, and with it the votes that it has given, so it cannot go on as the server that it was: "+
				"`pentad member remove %s`, then set join to a token of `pentad member invite`",
				name, a.GetCluster(), a.GetFolder(), self.GetFolder(), name)}, true
		}
	}
	a := standings[intentpb.Standing_STANDING_UNKNOWN]
	return verdict{refused: fmt.Errorf("server %s is not known to cluster %s, which runs already: "+
		"to let it in, set join to a token of `pentad member invite`", name, a.GetCluster())}, true
}

func reason(err error) string {
	if err == nil {
		return "has not answered yet"
	}
	return err.Error()
}

func sameExpected(a, b []*intentpb.Expected) bool {
	return slices.Equal(flat(a), flat(b))
}

// flat is a list of expected voters in the order of names.
func flat(list []*intentpb.Expected) []string {
	var all []string
	for _, e := range list {
		all = append(all, e.GetName()+" at "+e.GetRaft())
	}
	slices.Sort(all)
	return all
}

func listed(list []*intentpb.Expected) string { return "[" + strings.Join(flat(list), ", ") + "]" }
