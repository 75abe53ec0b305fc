package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pentad.dev/pentad/federation/server"
)

// thereWithin is how lately the leader must have heard of a voter that counts as there.
const thereWithin = 2 * time.Second

// writeVerdict says what is asked first: whether writes go on, who is missing, and how much more may be lost.
func writeVerdict(out io.Writer, pages []page) {
	byCluster := map[string][]*server.Status{}
	for _, p := range pages {
		if p.server != nil && p.err == nil && p.server.Cluster != "" {
			byCluster[p.server.Cluster] = append(byCluster[p.server.Cluster], p.server)
		}
	}
	var clusters []string
	for id := range byCluster {
		clusters = append(clusters, id)
	}
	slices.SortFunc(clusters, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(byCluster[b]), len(byCluster[a])), cmp.Compare(a, b))
	})
	for _, id := range clusters {
		of := ""
		if len(clusters) > 1 {
			of = fmt.Sprintf("cluster %s (%s): ", id, strings.Join(names(byCluster[id]), ", "))
		}
		fmt.Fprintf(out, "%s%s\n", of, verdict(byCluster[id]))
	}
	if len(clusters) > 1 {
		fmt.Fprintln(out, "These servers are not of one estate: one life of it is from before a restore, or a copy: stop its servers.")
	}
	if len(clusters) > 0 {
		fmt.Fprintln(out)
	}
}

// verdict is about the servers of one cluster that answered.
func verdict(answered []*server.Status) string {
	var leader, newest *server.Status
	for _, s := range answered {
		if s.Raft.State == "leader" && (leader == nil || s.Raft.Term > leader.Raft.Term) {
			leader = s
		}
		if newest == nil || s.Raft.Commit > newest.Raft.Commit {
			newest = s
		}
	}
	if leader != nil {
		return underLeader(leader, full(answered))
	}
	if at := slices.IndexFunc(answered, func(s *server.Status) bool { return s.Raft.Leader != "" }); at >= 0 {
		return fmt.Sprintf("server %s leads, as server %s knows: ask it too, it knows who is there", answered[at].Raft.Leader,
			answered[at].Name)
	}
	voters := voters(newest)
	said := fmt.Sprintf("NO WRITES: no leader is known to server %s. %d of the %d voters (%s) must be up and reach each other",
		strings.Join(names(answered), ", "), majority(len(voters)), len(voters), strings.Join(voters, ", "))
	if missing := without(voters, names(answered)); len(missing) > 0 {
		said += "; no answer came from, or nobody asked " + strings.Join(missing, ", ")
	}
	if heard := lastLeader(answered); heard > 0 {
		said += fmt.Sprintf("; a leader was last heard %s ago", heard.Round(time.Second))
	}
	return said
}

// underLeader goes by whom the leader hears; those whose disk is full are there and store nothing.
func underLeader(leader *server.Status, full []string) string {
	voters := voters(leader)
	var missing []string
	there := 0
	for _, name := range voters {
		at := slices.IndexFunc(leader.Members, func(m server.Member) bool { return m.Name == name })
		switch {
		case slices.Contains(full, name):
			missing = append(missing, name+" (its disk is full)")
		case name == leader.Name, at >= 0 && leader.Members[at].Heard >= 0 && leader.Members[at].Heard <= thereWithin:
			there++
		case at >= 0:
			missing = append(missing, fmt.Sprintf("%s (not heard of for %s)", name, heard(leader.Members[at].Heard)))
		default:
			missing = append(missing, name)
		}
	}
	needed := majority(len(voters))
	said := fmt.Sprintf("server %s leads; %d of %d voters are there, %d are needed: ", leader.Name, there, len(voters), needed)
	switch spare := there - needed; {
	case spare < 0:
		said = "NO WRITES: " + said + "too few"
	case spare == 0 && len(missing) > 0:
		said += "writes go on, NOT ONE more may be lost"
	case spare == 0:
		said += "writes go on, none may be lost"
	default:
		said += fmt.Sprintf("writes go on, %d more may be lost", spare)
	}
	if len(missing) > 0 {
		said += "; missing: " + strings.Join(missing, ", ")
	}
	return said
}

func full(answered []*server.Status) (all []string) {
	for _, s := range answered {
		if s.Raft.DiskFull {
			all = append(all, s.Name)
		}
	}
	return all
}

func names(all []*server.Status) (names []string) {
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}

func voters(s *server.Status) (names []string) {
	for _, v := range s.Raft.Voters {
		names = append(names, v.ID)
	}
	slices.Sort(names)
	return names
}

func without(all, less []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(less, name) })
}

// lastLeader is how long ago any of them heard a leader; 0: none ever did.
func lastLeader(all []*server.Status) (least time.Duration) {
	for _, s := range all {
		if c := s.Raft.LastContact; c > 0 && (least == 0 || c < least) {
			least = c
		}
	}
	return least
}

func majority(n int) int { return n/2 + 1 }
