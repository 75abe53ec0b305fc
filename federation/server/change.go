package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// Change implements the service of servers.
func (m membership) Change(ctx context.Context, request *intentpb.ChangeRequest) (*intentpb.ChangeResponse, error) {
	done, err := m.server.changeHere(ctx, request)
	if err != nil {
		return nil, toStatus(err)
	}
	return &intentpb.ChangeResponse{Message: done}, nil
}

// Members implements the service of servers.
func (m membership) Members(ctx context.Context, _ *intentpb.MembersRequest) (*intentpb.MembersResponse, error) {
	states, err := m.server.membersHere(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	return &intentpb.MembersResponse{Members: states}, nil
}

// changeHere carries an operator's order out at the leader.
func (s *Core) changeHere(ctx context.Context, request *intentpb.ChangeRequest) (string, error) {
	r := s.reign.Load()
	if r == nil || !s.node.IsLeader() {
		return "", fmt.Errorf("change: %w", consensus.ErrNotLeader)
	}
	return s.change(ctx, request, r)
}

// membersHere is what the leader knows of all servers.
func (s *Core) membersHere(ctx context.Context) ([]*intentpb.MemberState, error) {
	r := s.reign.Load()
	if r == nil || !s.node.IsLeader() {
		return nil, fmt.Errorf("members: %w", consensus.ErrNotLeader)
	}
	if _, err := s.node.ReadIndex(ctx); err != nil {
		return nil, err
	}
	return s.memberStates(r.began), nil
}

// memberStates are all servers as this one, leading since then, sees them.
func (s *Core) memberStates(began time.Time) (states []*intentpb.MemberState) {
	for _, m := range s.members(began) {
		if m.removed && !m.inRaft {
			continue
		}
		record := s.machine.Server(m.name)
		if record == nil {
			record = &intentpb.Server{Name: m.name}
		}
		heard := m.silent.Milliseconds()
		if !m.leads && m.silent >= time.Since(began)-time.Millisecond {
			heard = min(-1, -heard) // perhaps for longer
		}
		states = append(states, &intentpb.MemberState{
			Server: record, InRaft: m.inRaft, Votes: m.votes, Leads: m.leads, HeardMs: heard, Behind: m.behind,
		})
	}
	return states
}

// Change carries an operator's order on a member out, wherever the leader is.
func (s *Core) Change(ctx context.Context, request *intentpb.ChangeRequest) (done string, err error) {
	err = s.backend.atLeader(ctx, call{
		here: func(ctx context.Context) (err error) {
			done, err = s.changeHere(ctx, request)
			return err
		},
		member: func(ctx context.Context, leader intentpb.MembershipClient) error {
			answer, err := leader.Change(ctx, request)
			done = answer.GetMessage()
			return err
		},
	})
	return done, err
}

// Members is what the leader knows of all servers.
func (s *Core) Members(ctx context.Context) (states []*intentpb.MemberState, err error) {
	err = s.backend.atLeader(ctx, call{
		here: func(ctx context.Context) (err error) {
			states, err = s.membersHere(ctx)
			return err
		},
		member: func(ctx context.Context, leader intentpb.MembershipClient) error {
			answer, err := leader.Members(ctx, &intentpb.MembersRequest{})
			states = answer.GetMembers()
			return err
		},
	})
	return states, err
}

// orders by the words of operators.
var orders = map[string]intentpb.Order{
	"promote": intentpb.Order_ORDER_PROMOTE, "demote": intentpb.Order_ORDER_DEMOTE, "remove": intentpb.Order_ORDER_REMOVE,
}

// refusedOrder says that nothing was changed, and that asking again does not help.
func refusedOrder(err error) bool {
	return errors.Is(err, errUnsafe) || errors.Is(err, errNotYet) || errors.Is(err, errNoMember) ||
		errors.Is(err, consensus.ErrUnhealthy) || errors.Is(err, consensus.ErrLastVoter) || errors.Is(err, consensus.ErrLagging)
}
