package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// membership is the service by which servers become, and stay, the servers of one estate.
type membership struct {
	intentpb.UnimplementedMembershipServer
	server *Core
}

// Enrol implements the service: anyone who has a server's certificate may ask who is enrolled in what.
func (m membership) Enrol(ctx context.Context, request *intentpb.EnrolRequest) (*intentpb.EnrolResponse, error) {
	s := m.server
	if err := speaksForItself(ctx, request.GetServer()); err != nil {
		return nil, err
	}
	folder := s.node.Folder()
	answer := &intentpb.EnrolResponse{Server: s.self(), Expected: s.expected(), Cluster: folder.Cluster}
	if folder.Cluster != "" {
		answer.Roster = folder.Roster
		answer.Standing, answer.Folder = s.standing(request.GetServer().GetName(), request.GetServer().GetFolder())
	}
	return answer, nil
}

// speaksForItself holds a server's record to the certificate of who brings it.
func speaksForItself(ctx context.Context, server *intentpb.Server) error {
	caller, err := identity.Caller(ctx)
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	if caller.Name != server.GetName() {
		return status.Errorf(codes.PermissionDenied, "%s may not speak for server %q: only for itself", caller, server.GetName())
	}
	return nil
}

// Join implements the service at any enrolled server.
func (m membership) Join(ctx context.Context, request *intentpb.JoinRequest) (*intentpb.JoinResponse, error) {
	s := m.server
	if err := s.mayIntroduce(ctx, request.GetServer()); err != nil {
		return nil, err
	}
	err := s.backend.atLeader(ctx, call{
		here: func(ctx context.Context) error { return s.joinHere(ctx, request) },
		member: func(ctx context.Context, leader intentpb.MembershipClient) error {
			_, err := leader.Join(ctx, request)
			return err
		},
	})
	if err != nil {
		return nil, toStatus(err)
	}
	folder := s.node.Folder()
	return &intentpb.JoinResponse{Cluster: folder.Cluster, Roster: folder.Roster}, nil
}

// mayIntroduce lets a server speak for itself, and a member pass on what one that joins has said to it.
func (s *Core) mayIntroduce(ctx context.Context, server *intentpb.Server) error {
	caller, err := identity.Caller(ctx)
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	known := s.machine.Server(caller.Name)
	if known != nil && !known.GetRemoved() || !s.machine.Founded() && s.node.Folder().Roster[caller.Name] != "" {
		return nil
	}
	return speaksForItself(ctx, server)
}

// errJoin says that the state machine refuses a server that would join.
var errJoin = errors.New("may not join")

// joinHere spends the token, at the leader. The first servers are in the table before: else one of them, with its disk
// lost, would come in as one that nobody knows.
func (s *Core) joinHere(ctx context.Context, request *intentpb.JoinRequest) error {
	if !s.node.IsLeader() {
		return fmt.Errorf("join: %w", consensus.ErrNotLeader)
	}
	if _, err := s.node.ReadIndex(ctx); err != nil {
		return err
	}
	if err := s.introduce(ctx); err != nil {
		return err
	}
	name := request.GetServer().GetName()
	result, err := s.proposeHere(ctx, &intentpb.Command{
		Id: newID(), ProposedAtUnixMs: s.now().UnixMilli(),
		Operation: &intentpb.Command_JoinServer{JoinServer: &intentpb.JoinServer{
			Server: request.GetServer(), Token: intent.HashToken(request.GetToken()),
		}},
	})
	switch {
	case err != nil:
		return err
	case !result.OK:
		refused := result.Errors().ToAggregate()
		s.log.Warn("refused a server that would join", "server", name, "error", refused)
		return fmt.Errorf("server %s %w: %w", name, errJoin, refused)
	}
	s.roll.heard(name)
	s.log.Info("a server joined", "server", name, "folder", request.GetServer().GetFolder())
	return nil
}

// Announce implements the service at the leader.
func (m membership) Announce(ctx context.Context, request *intentpb.AnnounceRequest) (*intentpb.AnnounceResponse, error) {
	if err := speaksForItself(ctx, request.GetServer()); err != nil {
		return nil, err
	}
	standing, err := m.server.announced(ctx, request.GetServer())
	if err != nil {
		return nil, toStatus(err)
	}
	return &intentpb.AnnounceResponse{Standing: standing}, nil
}

// announced takes what a server says of itself into the table, at the leader.
func (s *Core) announced(ctx context.Context, server *intentpb.Server) (intentpb.Standing, error) {
	if !s.node.IsLeader() {
		return 0, fmt.Errorf("announce: %w", consensus.ErrNotLeader)
	}
	// The log of the terms before must be applied: else a server that was removed would be taken for a new one.
	if _, err := s.node.ReadIndex(ctx); err != nil {
		return 0, err
	}
	standing, _ := s.standing(server.GetName(), server.GetFolder())
	if standing != intentpb.Standing_STANDING_MEMBER {
		return standing, nil
	}
	s.roll.heard(server.GetName())
	have := s.machine.Server(server.GetName())
	said := proto.CloneOf(server)
	said.Voter, said.Removed = have == nil || have.GetVoter(), false
	if proto.Equal(have, said) {
		return standing, nil
	}
	result, err := s.proposeHere(ctx, &intentpb.Command{
		Id: newID(), ProposedAtUnixMs: time.Now().UnixMilli(),
		Operation: &intentpb.Command_SetServer{SetServer: &intentpb.SetServer{Server: said}},
	})
	if err == nil && !result.OK {
		err = fmt.Errorf("%w: server %s: %w", errAnnouncement, server.GetName(), result.Errors().ToAggregate())
	}
	return standing, err
}

// errAnnouncement says that the state machine refuses what a server says of itself.
var errAnnouncement = errors.New("announcement refused")

// announce tells the leader where this server is reached and what it knows, again and again: the leader hears so that it
// is there. It ends the server when it was removed.
func (s *Core) announce(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.enrolment.done:
	}
	var told time.Time
	for ctx.Err() == nil {
		leadership, changed := s.node.Leadership()
		err := s.announceOnce(ctx, leadership)
		if s.vacancy.lasts() > leaderlessLong && time.Since(told) > leaderlessAgain {
			s.tellLeaderless()
			told = time.Now()
		}
		if errors.Is(err, ErrRemoved) {
			return err
		}
		next := announceEvery
		if err != nil {
			s.log.Debug("not announced", "leader", leadership.ID, "error", err)
			next = announceRetry
		}
		select {
		case <-ctx.Done():
		case <-changed:
			pause(ctx, announceSettle)
		case <-time.After(next):
		}
	}
	return nil
}

const (
	announceEvery  = 10 * time.Second
	announceRetry  = 500 * time.Millisecond
	announceSettle = 20 * time.Millisecond
	// leaderlessLong is longer than elections take; leaderlessAgain is how often it is said then.
	leaderlessLong  = 10 * time.Second
	leaderlessAgain = time.Minute
)

func (s *Core) announceOnce(ctx context.Context, leadership consensus.Leadership) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if leadership.Local {
		_, err := s.announced(ctx, s.self())
		return err
	}
	if leader := s.peers.get(leadership.ID); leader != nil {
		answer, err := leader.members.Announce(ctx, &intentpb.AnnounceRequest{Server: s.self()})
		if err != nil {
			return err
		}
		return s.stands(answer.GetStanding(), leadership.ID)
	}
	// Nobody leads as far as this server knows; who was removed while it was down hears of no leader any more.
	for name, a := range s.askAll(ctx, s.enrolRequest()) {
		switch {
		case a.answer.GetCluster() == "":
		case a.answer.GetCluster() != s.node.Folder().Cluster:
			s.strangers.warn(s.log, "asked a server of another cluster", name, a.answer.GetCluster(), s.node.Folder().Cluster)
		case a.answer.GetFolder() == s.node.Folder().ID: // else it may only be behind: the name's removal, not this folder's
			if err := s.stands(a.answer.GetStanding(), name); err != nil {
				return err
			}
		}
	}
	return errors.New("no leader is known")
}

// tellLeaderless says who would have to be there, and whom this server can ask: who was removed, or was away while the
// others were replaced, may know none of those that lead.
func (s *Core) tellLeaderless() {
	var voters, asked []string
	for _, m := range s.node.Members() {
		if m.Voter {
			voters = append(voters, m.ID)
		}
	}
	for _, p := range s.peers.all() {
		asked = append(asked, p.Name)
	}
	s.log.Warn("no leader is known, nothing can be declared: a majority of the voters must be up and reach each other; servers of "+
		"the configuration must name some that are", "for", s.vacancy.lasts().Round(time.Second), "voters", voters, "asked", asked)
}

// stands judges what another server says of this one.
func (s *Core) stands(standing intentpb.Standing, name string) error {
	switch standing {
	case intentpb.Standing_STANDING_REMOVED:
		return fmt.Errorf("%w, as server %s says", ErrRemoved, name)
	case intentpb.Standing_STANDING_OTHER_FOLDER:
		s.log.Warn("the estate knows this server with another data folder: it was replaced", "says", name,
			"folder", s.node.Folder().ID)
	case intentpb.Standing_STANDING_UNKNOWN:
		s.log.Warn("the estate does not know this server", "says", name)
	}
	return nil
}

// watchRemoval ends this server when its own replica says that it was removed.
func (s *Core) watchRemoval(ctx context.Context) error {
	for {
		changed := s.machine.MembersChanged()
		if r := s.machine.Server(s.config.Name); r.GetRemoved() && r.GetFolder() == s.node.Folder().ID {
			return ErrRemoved
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
