package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// MemberStatus is a member of the cluster's latest configuration and, at the leader, what it knows of it.
type MemberStatus struct {
	Member
	// Voter says that it votes; otherwise it is a replica that only follows.
	Voter bool
	// LastHeard is how long ago it answered this node, 0 for the leader itself. -1: never since the process began, or
	// this node is not the leader.
	LastHeard time.Duration
	// Match is the index up to which its log is known to be the leader's, Lag how many entries it has still to confirm.
	// Both are 0 at other nodes than the leader.
	Match, Lag uint64
}

// Members returns the members of the latest configuration that this node knows, in their order there.
func (n *Node) Members() []MemberStatus {
	r := n.raft.Load()
	if r == nil {
		return nil
	}
	term, commit := r.CurrentTerm(), r.CommitIndex()
	leads := r.State() == raft.Leader
	var all []MemberStatus
	for _, s := range r.GetConfiguration().Configuration().Servers {
		m := MemberStatus{Member: Member{ID: string(s.ID), Address: n.addresses.of(string(s.ID))},
			Voter: s.Suffrage == raft.Voter, LastHeard: -1}
		if m.Address == "" {
			m.Address = string(s.Address)
		}
		switch {
		case !leads:
		case m.ID == n.cfg.ID:
			m.LastHeard, m.Match = 0, r.LastIndex()
		default:
			var heard time.Time
			if heard, m.Match = n.contacts.state(s.ID, term); !heard.IsZero() {
				m.LastHeard = time.Since(heard)
			}
			m.Lag = commit - min(commit, m.Match)
		}
		all = append(all, m)
	}
	return all
}

// answers says whether a member answered lately: two heartbeat timeouts are some ten heartbeats.
func (n *Node) answers(m MemberStatus) bool {
	return m.LastHeard >= 0 && m.LastHeard <= 2*n.cfg.HeartbeatTimeout
}

// AddReplica makes a node a member that follows and does not vote. It need not run yet. One that is a member already
// keeps its vote and gets the address. Leader only, as all that follow: ErrNotLeader, ErrNoQuorum and ErrOutcomeUnknown
// are those of Propose.
func (n *Node) AddReplica(ctx context.Context, m Member) error {
	if err := checkMembers("member", []Member{m}); err != nil {
		return fmt.Errorf("add replica: %w", err)
	}
	return n.change(ctx, "add replica "+m.ID, func(all []MemberStatus, r *raft.Raft) (func() raft.IndexFuture, error) {
		for _, s := range r.GetConfiguration().Configuration().Servers {
			switch {
			case string(s.ID) == m.ID && string(s.Address) == m.Address:
				return nil, nil
			case string(s.ID) != m.ID && string(s.Address) == m.Address:
				return nil, fmt.Errorf("member.address: %q is %s's", m.Address, s.ID)
			}
		}
		return func() raft.IndexFuture {
			return r.AddNonvoter(raft.ServerID(m.ID), raft.ServerAddress(m.Address), 0, enqueuePatience)
		}, nil
	})
}

// Promote makes a replica a voter. One that is further behind than Config.PromoteLag, or does not answer, is refused
// with a LagError: until it has caught up, writes could not be acknowledged.
func (n *Node) Promote(ctx context.Context, id string) error {
	return n.change(ctx, "promote "+id, func(all []MemberStatus, r *raft.Raft) (func() raft.IndexFuture, error) {
		i := slices.IndexFunc(all, func(m MemberStatus) bool { return m.ID == id })
		switch {
		case i < 0:
			return nil, ErrNotMember
		case all[i].Voter:
			return nil, nil
		}
		m := all[i]
		// One that has confirmed nothing may still wait for a snapshot, however short the log behind that is.
		if (m.Lag > n.cfg.PromoteLag || m.Match == 0 || !n.answers(m)) && !n.cfg.break_.promoteAnyone {
			return nil, &LagError{ID: id, Lag: m.Lag, Limit: n.cfg.PromoteLag, LastHeard: m.LastHeard}
		}
		all[i].Voter = true
		if err := n.healthy(all); err != nil {
			return nil, err
		}
		return func() raft.IndexFuture {
			return r.AddVoter(raft.ServerID(id), loggedAddress(r, id), 0, enqueuePatience)
		}, nil
	})
}

// Demote takes a member's vote; it goes on to follow. ErrLastVoter, ErrLeads and ErrUnhealthy say what stands against it.
func (n *Node) Demote(ctx context.Context, id string) error {
	return n.change(ctx, "demote "+id, func(all []MemberStatus, r *raft.Raft) (func() raft.IndexFuture, error) {
		i := slices.IndexFunc(all, func(m MemberStatus) bool { return m.ID == id })
		switch {
		case i < 0:
			return nil, ErrNotMember
		case !all[i].Voter:
			return nil, nil
		}
		all[i].Voter = false
		if err := n.mayLose(id, all); err != nil {
			return nil, err
		}
		return func() raft.IndexFuture { return r.DemoteVoter(raft.ServerID(id), 0, enqueuePatience) }, nil
	})
}

// Remove takes a member out of the cluster. Its node is not told if it does not run; it can then disturb nobody.
func (n *Node) Remove(ctx context.Context, id string) error {
	return n.change(ctx, "remove "+id, func(all []MemberStatus, r *raft.Raft) (func() raft.IndexFuture, error) {
		i := slices.IndexFunc(all, func(m MemberStatus) bool { return m.ID == id })
		if i < 0 {
			return nil, ErrNotMember
		}
		voter := all[i].Voter
		if all = slices.Delete(all, i, i+1); voter {
			if err := n.mayLose(id, all); err != nil {
				return nil, err
			}
		}
		return func() raft.IndexFuture { return r.RemoveServer(raft.ServerID(id), 0, enqueuePatience) }, nil
	})
}

// mayLose says whether a voter may go, left being what is there without it.
func (n *Node) mayLose(id string, left []MemberStatus) error {
	switch {
	case !slices.ContainsFunc(left, func(m MemberStatus) bool { return m.Voter }):
		return ErrLastVoter
	case id == n.cfg.ID:
		return ErrLeads
	}
	return n.healthy(left)
}

// healthy says whether the voters that answer are a majority of all voters among those members.
func (n *Node) healthy(all []MemberStatus) error {
	voters, answer := 0, 0
	var silent []string
	for _, m := range all {
		switch {
		case !m.Voter:
			continue
		case n.answers(m):
			answer++
		default:
			silent = append(silent, m.ID)
		}
		voters++
	}
	if answer < voters/2+1 && !n.cfg.break_.changeBlindly {
		return fmt.Errorf("%w: of %d voters after the change, %v do not answer", ErrUnhealthy, voters, silent)
	}
	return nil
}

// change makes one change of the configuration at a time. prepare looks at the members as they are now and returns what
// to do, nil if nothing; raft takes a change only after the one before it was committed.
func (n *Node) change(ctx context.Context, what string,
	prepare func([]MemberStatus, *raft.Raft) (func() raft.IndexFuture, error)) error {
	select {
	case n.changing <- struct{}{}:
		defer func() { <-n.changing }()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w: another change is in progress: %w", what, ErrNoQuorum, ctx.Err())
	}
	r := n.raft.Load()
	if r == nil {
		return fmt.Errorf("%s: %w: the node was not started", what, ErrNotLeader)
	}
	for {
		if r.State() != raft.Leader {
			return fmt.Errorf("%s: %w", what, n.notLeader(r))
		}
		do, err := prepare(n.Members(), r)
		if err != nil || do == nil {
			return wrap(what, err)
		}
		future := do()
		done := make(chan error, 1)
		go func() { done <- future.Error() }() // ends with the leadership at the latest
		select {
		case err = <-done:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: not committed in time: %w", what, ErrOutcomeUnknown, ctx.Err())
		case <-n.stopped:
			return fmt.Errorf("%s: %w: %w", what, ErrOutcomeUnknown, ErrStopped)
		}
		switch {
		case err == nil:
			n.recount(r)
			return nil
		case !errors.Is(err, raft.ErrEnqueueTimeout):
			return wrap(what, n.refused(r, err))
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w: the change before it is not committed: %w", what, ErrNoQuorum, ctx.Err())
		}
	}
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// recount lets reads go on that wait for voters who are none any more.
func (n *Node) recount(r *raft.Raft) {
	others, needed := n.otherVoters()
	n.rounds.recount(r.CurrentTerm(), others, needed)
}

// loggedAddress returns the address of a member in the log, which is not to be changed on the way.
func loggedAddress(r *raft.Raft, id string) raft.ServerAddress {
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if string(s.ID) == id {
			return s.Address
		}
	}
	return ""
}
