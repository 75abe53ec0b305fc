//go:build linux

package estate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// pollEvery is between two looks at servers.
const pollEvery = 50 * time.Millisecond

// Until looks again and again until a look is without error; its last error is that of the wait.
func Until(ctx context.Context, what string, look func(context.Context) error) error {
	for {
		err := look(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (%w)", what, err, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// errNoLeader says that no server leads.
var errNoLeader = errors.New("no server leads")

// Leader waits for a server, but these, that leads the newest term, and that most servers follow.
func (e *Estate) Leader(ctx context.Context, but ...*Server) (leader *Server, err error) {
	err = Until(ctx, "wait for a leader", func(ctx context.Context) error {
		leader, err = e.leader(ctx, slices.DeleteFunc(slices.Clone(e.servers), func(s *Server) bool {
			return !s.Running() || slices.Contains(but, s)
		}))
		return err
	})
	return leader, err
}

func (e *Estate) leader(ctx context.Context, among []*Server) (leader *Server, err error) {
	var newest uint64
	followers := map[string]int{}
	var seen []string
	for _, s := range among {
		status, err := s.Status(ctx)
		if err != nil {
			seen = append(seen, s.Name+" is silent")
			continue
		}
		seen = append(seen, fmt.Sprintf("%s is %s of %q in term %d", s.Name, status.Raft.State, status.Raft.Leader, status.Raft.Term))
		followers[fmt.Sprint(status.Raft.Term, status.Raft.Leader)]++
		if status.Raft.State == "leader" && status.Raft.Term > newest {
			newest, leader = status.Raft.Term, s
		}
	}
	if leader == nil || followers[fmt.Sprint(newest, leader.Name)] <= len(e.cfg.Expected)/2 {
		return nil, fmt.Errorf("%w: %s", errNoLeader, strings.Join(seen, ", "))
	}
	return leader, nil
}

// Settled waits until these servers, all expected ones if none is named, follow one leader, and have applied what any of
// them had when it began.
func (e *Estate) Settled(ctx context.Context, servers ...*Server) error {
	if len(servers) == 0 {
		servers = e.Expected()
	}
	var goal, highest uint64
	return Until(ctx, "wait until the servers agree", func(ctx context.Context) error {
		views := map[string]bool{}
		var behind, seen []string
		for _, s := range servers {
			status, err := s.Status(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			seen = append(seen, fmt.Sprintf("%s follows %q in term %d and has revision %d",
				s.Name, status.Raft.Leader, status.Raft.Term, status.Revision))
			views[fmt.Sprint(status.Raft.Leader, status.Raft.Term)] = true
			if status.Raft.Leader == "" || status.Revision < goal {
				behind = append(behind, s.Name)
			}
			highest = max(highest, status.Revision)
		}
		if goal == 0 { // all have answered once
			goal = highest
			return errors.New("one more look")
		}
		if len(views) > 1 || len(behind) > 0 {
			return fmt.Errorf("%s (revision %d is waited for)", strings.Join(seen, ", "), goal)
		}
		return nil
	})
}
