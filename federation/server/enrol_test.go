package server

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"pentad.dev/pentad/federation/intent/intentpb"
)

// fresh is what a server says that is enrolled in nothing, and expects these.
func fresh(name, folder string, expected ...string) *intentpb.EnrolRequest {
	r := &intentpb.EnrolRequest{Server: &intentpb.Server{Name: name, Folder: folder}}
	for _, e := range expected {
		r.Expected = append(r.Expected, &intentpb.Expected{Name: e, Raft: e + ":7000"})
	}
	return r
}

func says(r *intentpb.EnrolRequest) asked {
	return asked{answer: &intentpb.EnrolResponse{Server: r.GetServer(), Expected: r.GetExpected()}}
}

func enrolled(name, cluster string, standing intentpb.Standing, folder string) asked {
	return asked{answer: &intentpb.EnrolResponse{
		Server: &intentpb.Server{Name: name}, Cluster: cluster, Standing: standing, Folder: folder, Roster: map[string]string{"s1": "f1"},
	}}
}

func TestWhatAServerDoesThatIsEnrolledInNothing(t *testing.T) {
	const member, other = intentpb.Standing_STANDING_MEMBER, intentpb.Standing_STANDING_OTHER_FOLDER
	const removed, unknown = intentpb.Standing_STANDING_REMOVED, intentpb.Standing_STANDING_UNKNOWN
	s1, s2, s3 := fresh("s1", "f1", "s1", "s2", "s3"), fresh("s2", "f2", "s3", "s2", "s1"), fresh("s3", "f3", "s1", "s2", "s3")
	down := asked{err: errors.New("connection refused")}
	for name, c := range map[string]struct {
		self   *intentpb.EnrolRequest
		heard  map[string]asked
		waits  string
		refuse string
		enrol  bool
		found  map[string]string
	}{
		"nobody has answered":      {self: s1, waits: "server s2 (has not answered yet)"},
		"one is down":              {self: s1, heard: map[string]asked{"s2": says(s2), "s3": down}, waits: "server s3 (connection refused)"},
		"all are there":            {self: s1, heard: map[string]asked{"s2": says(s2), "s3": says(s3)}, found: map[string]string{"s1": "f1", "s2": "f2", "s3": "f3"}},
		"another has a lower name": {self: s2, heard: map[string]asked{"s1": says(s1), "s3": says(s3)}, waits: "server s1 to begin the cluster"},
		"alone":                    {self: fresh("s1", "f1", "s1"), found: map[string]string{"s1": "f1"}},
		"another list": {self: s1, heard: map[string]asked{"s2": says(s2), "s3": says(fresh("s3", "f3", "s1", "s3", "s4"))},
			waits: "server s3 to have the same list of servers: here [s1 at s1:7000, s2 at s2:7000, s3 at s3:7000], there [s1 at s1:7000, s3 at s3:7000, s4 at s4:7000]"},
		"somebody else at its address": {self: s1, heard: map[string]asked{"s2": says(s3), "s3": says(s3)}, waits: "at its address is server s3"},
		"one is enrolled and knows it": {self: s2, heard: map[string]asked{"s1": enrolled("s1", "c", member, "f2"), "s3": down}, enrol: true},
		"its disk was lost": {self: s2, heard: map[string]asked{"s1": enrolled("s1", "c", other, "f9"), "s3": says(s3)},
			refuse: "its disk was lost"},
		"all the others lost theirs": {self: s2, heard: map[string]asked{"s1": says(s1), "s3": enrolled("s3", "c", other, "f9")}, refuse: "pentad member remove s2"},
		"it was removed": {self: s2, heard: map[string]asked{"s1": enrolled("s1", "c", removed, "f2"), "s3": enrolled("s3", "c", member, "f2")},
			refuse: "was removed"},
		"nobody knows it":   {self: s2, heard: map[string]asked{"s1": enrolled("s1", "c", unknown, "")}, refuse: "is not known to cluster c"},
		"only one does":     {self: s2, heard: map[string]asked{"s1": enrolled("s1", "c", unknown, ""), "s3": enrolled("s3", "c", member, "f2")}, enrol: true},
		"of two clusters":   {self: s2, heard: map[string]asked{"s1": enrolled("s1", "c", member, "f2"), "s3": enrolled("s3", "d", member, "f2")}, refuse: "s1 of cluster c; s3 of cluster d"},
		"it expects itself": {self: fresh("s1", "f1", "s1", "s2"), heard: map[string]asked{"s2": says(fresh("s2", "f2", "s2"))}, waits: "to have the same list"},
	} {
		t.Run(name, func(t *testing.T) {
			v := decide(c.self, c.heard)
			switch {
			case c.waits != "":
				if !strings.Contains(strings.Join(v.waits, "; "), c.waits) {
					t.Errorf("it waits for %q, want %q", v.waits, c.waits)
				}
			case c.refuse != "":
				if v.refused == nil || !strings.Contains(v.refused.Error(), c.refuse) {
					t.Errorf("it is refused with %v, want %q", v.refused, c.refuse)
				}
			case c.enrol:
				if v.enrol == nil || v.enrol.GetCluster() != "c" {
					t.Errorf("verdict is %+v, want to be enrolled", v)
				}
			default:
				if !maps.Equal(v.found, c.found) {
					t.Errorf("verdict is %+v, want to found %v", v, c.found)
				}
			}
		})
	}
}

// TestAPartialStartNeverMakesTwoClusters has servers come, ask, go, and lose their disks, in any order.
func TestAPartialStartNeverMakesTwoClusters(t *testing.T) {
	founded := 0
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		names := []string{"s1", "s2", "s3"}
		type node struct {
			folder, cluster string
			roster          map[string]string
			up              bool
		}
		nodes := map[string]*node{}
		for _, name := range names {
			nodes[name] = &node{folder: name + ".0"}
		}
		lost, clusters := 0, map[string]bool{}
		for range 80 {
			name := names[rnd.IntN(3)]
			n := nodes[name]
			switch rnd.IntN(4) {
			case 0:
				n.up = !n.up
			case 1:
				if rnd.IntN(8) == 0 && lost == 0 && !n.up { // one disk is lost, for good
					lost++
					*n = node{folder: name + ".1"}
				}
			default:
				if !n.up || n.cluster != "" {
					continue
				}
				heard := map[string]asked{}
				for other, o := range nodes {
					switch {
					case other == name:
					case !o.up:
						heard[other] = asked{err: errors.New("down")}
					case o.cluster == "":
						heard[other] = says(fresh(other, o.folder, names...))
					default:
						standing := intentpb.Standing_STANDING_OTHER_FOLDER
						if o.roster[name] == n.folder {
							standing = intentpb.Standing_STANDING_MEMBER
						}
						heard[other] = enrolled(other, o.cluster, standing, o.roster[name])
						heard[other].answer.Roster = o.roster
					}
				}
				switch v := decide(fresh(name, n.folder, names...), heard); {
				case v.found != nil:
					n.cluster, n.roster = fmt.Sprint("cluster", len(clusters)), v.found
					clusters[n.cluster] = true
				case v.enrol != nil:
					n.cluster, n.roster = v.enrol.GetCluster(), v.enrol.GetRoster()
				}
			}
		}
		founded += len(clusters)
		in := map[string]int{}
		for name, n := range nodes {
			if n.cluster == "" {
				continue
			}
			in[n.cluster]++
			if n.roster[name] != n.folder {
				t.Fatalf("seed %d: server %s with folder %s is in a cluster that knows %s", seed, name, n.folder, n.roster[name])
			}
		}
		if len(in) > 1 {
			t.Fatalf("seed %d: servers are in %v", seed, in)
		}
	}
	if founded < 1000 {
		t.Errorf("only %d clusters were founded: the test shows little", founded)
	}
}
