package orders

import (
	"cmp"
	"maps"
	"slices"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/unitization/fence"
)

// Status is what an operator sees.
type Status struct {
	// Servers are those that the orders come from.
	Servers []feed.PeerStatus `json:"servers"`
	Members []MemberStatus    `json:"members"`
	// Problems are of records that cannot be used.
	Problems []string `json:"problems,omitempty"`
}

// MemberStatus is a member of this cluster.
type MemberStatus struct {
	Store  string `json:"store"`
	Member string `json:"member"`
	// Order is the one in force; empty: none.
	Order string `json:"order,omitempty"`
	// Concerned says that the order is for this member.
	Concerned bool `json:"concerned"`
	// Report is what is said of the member.
	Report fence.Report `json:"report"`
}

// Status may be called from any goroutine.
func (o *Orders) Status() Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Status{Servers: o.follower.Status()}
	for _, m := range o.members {
		s.Members = append(s.Members, m.status())
	}
	slices.SortFunc(s.Members, func(a, b MemberStatus) int { return cmp.Compare(a.Store, b.Store) })
	for _, what := range slices.Sorted(maps.Keys(o.problems)) {
		s.Problems = append(s.Problems, what+": "+o.problems[what])
	}
	return s
}
