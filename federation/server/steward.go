package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent/intentpb"
)

const (
	// stewardEvery is how often a leader looks at the servers.
	stewardEvery = time.Second
	// introducesAfter is how long a leader waits for the first servers to announce themselves.
	introducesAfter = 3 * time.Second
	// nearEntries is how many entries a server may lack that gets a vote: some milliseconds' worth.
	nearEntries = 1000
	// leastHealthy is how long a server may be silent that counts as there, at least.
	leastHealthy = 3 * time.Second
)

var (
	// errUnsafe says that an order on a member would risk the majority.
	errUnsafe = errors.New("not safe")
	// errNoMember says that an order is on somebody unknown.
	errNoMember = errors.New("no server of the estate")
	// errNotYet says that what an order needs is not there yet.
	errNotYet = errors.New("not yet")
)

// caution is this server's, by its configuration.
func (s *Core) caution() caution {
	return caution{
		healthy: max(leastHealthy, 10*s.config.electionTimeout()), deadAfter: s.config.deadAfter(), near: nearEntries,
		plants: s.env.Adjust.Careless,
	}
}

// steward keeps Raft's configuration what the table wants, as leader, until ctx ends.
func (s *Core) steward(ctx context.Context, r *reign) {
	defer r.ends()
	tick := time.NewTicker(stewardEvery)
	defer tick.Stop()
	for {
		changed := s.machine.MembersChanged()
		for ctx.Err() == nil {
			again, err := s.tend(ctx, r.began)
			if err != nil && ctx.Err() == nil {
				s.log.Warn("the servers could not be tended", "error", err)
			}
			if err != nil || !again {
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case a := <-r.asks:
			a.done <- s.obey(ctx, r, a.name)
		case <-changed:
		case <-tick.C:
		}
	}
}

// tend does one thing, and says whether there may be another.
func (s *Core) tend(ctx context.Context, began time.Time) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if time.Since(began) > introducesAfter {
		if err := s.introduce(ctx); err != nil {
			return false, err
		}
	}
	if level, higher := s.machine.Raisable(); higher && s.allKnown() {
		s.log.Info("all servers know it: the level is raised", "level", level)
		return true, s.order(ctx, &intentpb.Command{Operation: &intentpb.Command_RaiseLevel{RaiseLevel: &intentpb.RaiseLevel{Level: level}}})
	}
	next, ok := s.caution().next(s.members(began))
	if !ok {
		return false, nil
	}
	s.log.Info("a change of the servers", "do", next.do.String(), "server", next.name, "why", next.why)
	return next.do != handOver, s.carryOut(ctx, next)
}

// introduce brings those of the roster into the table that have not announced themselves.
func (s *Core) introduce(ctx context.Context) error {
	if s.machine.Founded() {
		return nil
	}
	roster := s.node.Folder().Roster
	for _, p := range s.config.Servers {
		if roster[p.Name] == "" || s.machine.Server(p.Name) != nil {
			continue
		}
		server := &intentpb.Server{
			Name: p.Name, Region: p.Region, Center: p.Center, Folder: roster[p.Name], Raft: p.Raft, Grpc: p.GRPC,
			Level: 1, Version: "unknown", Voter: true,
		}
		if err := s.order(ctx, &intentpb.Command{Operation: &intentpb.Command_SetServer{SetServer: &intentpb.SetServer{Server: server}}}); err != nil {
			return err
		}
	}
	return nil
}

// allKnown says that the table has every server that Raft sends entries to.
func (s *Core) allKnown() bool {
	for _, m := range s.node.Members() {
		if r := s.machine.Server(m.ID); r == nil || r.GetRemoved() {
			return false
		}
	}
	return true
}

// order proposes a command here; that it is refused is an error.
func (s *Core) order(ctx context.Context, command *intentpb.Command) error {
	command.Id, command.ProposedAtUnixMs = newID(), time.Now().UnixMilli()
	result, err := s.proposeHere(ctx, command)
	if err == nil && !result.OK {
		err = result.Errors().ToAggregate()
	}
	return err
}

// members is what this server, as leader since then, sees of all.
func (s *Core) members(began time.Time) []seat {
	byName := map[string]*seat{}
	for _, r := range s.machine.Everyone() {
		byName[r.GetName()] = &seat{
			name: r.GetName(), known: true, removed: r.GetRemoved(), voter: r.GetVoter(), silent: s.silent(r.GetName(), -1, began),
		}
	}
	for _, raft := range s.node.Members() {
		m := byName[raft.ID]
		if m == nil {
			m = &seat{name: raft.ID}
			byName[raft.ID] = m
		}
		m.inRaft, m.votes, m.behind = true, raft.Voter, raft.Lag
		m.leads = raft.ID == s.config.Name
		m.silent = s.silent(raft.ID, raft.LastHeard, began)
		if m.leads {
			m.silent = 0
		}
	}
	var all []seat
	for _, m := range byName {
		all = append(all, *m)
	}
	return all
}

// silent is how long nothing was heard of a server, by Raft or by itself; who was never heard is silent since this
// server leads.
func (s *Core) silent(name string, byRaft time.Duration, began time.Time) time.Duration {
	silent := time.Since(began)
	for _, heard := range []time.Duration{byRaft, s.roll.since(name)} {
		if heard >= 0 {
			silent = min(silent, heard)
		}
	}
	return silent
}

// carryOut changes Raft's configuration.
func (s *Core) carryOut(ctx context.Context, next step) error {
	var err error
	switch next.do {
	case addReplica:
		r := s.machine.Server(next.name)
		err = s.node.AddReplica(ctx, consensus.Member{ID: r.GetName(), Address: r.GetRaft()})
	case promote:
		err = s.node.Promote(ctx, next.name)
	case demote:
		err = s.node.Demote(ctx, next.name)
	case remove:
		err = s.node.Remove(ctx, next.name)
	case handOver:
		err = s.node.TransferLeadership(ctx, "")
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", next.do, next.name, err)
	}
	return nil
}

// change carries an operator's order out, as leader: first what is wanted goes into the table, then Raft follows. Who
// becomes leader in between goes on with it.
func (s *Core) change(ctx context.Context, request *intentpb.ChangeRequest, r *reign) (string, error) {
	if _, err := s.node.ReadIndex(ctx); err != nil {
		return "", err
	}
	if err := s.introduce(ctx); err != nil {
		return "", err
	}
	name := request.GetName()
	record := s.machine.Server(name)
	if record == nil {
		return "", fmt.Errorf("%w: %q", errNoMember, name)
	}
	all := s.members(r.began)
	at := slices.IndexFunc(all, func(m seat) bool { return m.name == name })
	command, done, err := s.caution().judge(request, record, all, all[at])
	if err != nil || command == nil {
		return done, err
	}
	if all[at].leads && request.GetOrder() != intentpb.Order_ORDER_PROMOTE {
		// Somebody else carries it out. The caller asks again, and finds the new leader.
		if err := s.node.TransferLeadership(ctx, ""); err != nil {
			return "", err
		}
		return "", fmt.Errorf("server %s led, and hands over first: %w", name, consensus.ErrNotLeader)
	}
	if err := s.order(ctx, command); err != nil {
		return "", err
	}
	s.log.Info("an operator's order on a server", "order", request.GetOrder().String(), "server", name, "force", request.GetForce())
	err = r.followed(ctx, name)
	if errors.Is(err, consensus.ErrUnhealthy) || errors.Is(err, consensus.ErrLagging) {
		return fmt.Sprintf("server %s: the order is taken, and carried out as soon as it can be: %v", name, err), nil
	}
	return done, err
}

// judge says whether an order may be carried out, by what the leader sees, and the command for it; none when it is done.
func (c caution) judge(
	request *intentpb.ChangeRequest, record *intentpb.Server, all []seat, m seat,
) (command *intentpb.Command, done string, err error) {
	name := record.GetName()
	want := proto.CloneOf(record)
	switch request.GetOrder() {
	case intentpb.Order_ORDER_REMOVE:
		if record.GetRemoved() {
			return nil, fmt.Sprintf("server %s is removed already", name), nil
		}
		if err := c.without(all, name, request.GetForce()); err != nil {
			return nil, "", err
		}
		return &intentpb.Command{Operation: &intentpb.Command_RemoveServer{RemoveServer: &intentpb.RemoveServer{
			Name: name, Folder: record.GetFolder(),
		}}}, fmt.Sprintf("server %s is removed; its data folder is of no use any more", name), nil
	case intentpb.Order_ORDER_PROMOTE:
		switch {
		case record.GetRemoved():
			return nil, "", fmt.Errorf("%w: %q was removed", errNoMember, name)
		case m.votes && record.GetVoter():
			return nil, fmt.Sprintf("server %s is a voter already", name), nil
		case m.silent >= c.healthy:
			return nil, "", fmt.Errorf("%w: server %s was not heard of for %s: it must be there to get a vote",
				errNotYet, name, m.silent.Round(time.Second))
		case !m.inRaft || m.behind > c.near:
			return nil, "", fmt.Errorf("%w: server %s lacks %d entries of the log: it may lack at most %d to get a vote; it is catching up",
				errNotYet, name, m.behind, c.near)
		}
		want.Voter = true
		done = fmt.Sprintf("server %s is a voter", name)
	case intentpb.Order_ORDER_DEMOTE:
		switch {
		case record.GetRemoved():
			return nil, "", fmt.Errorf("%w: %q was removed", errNoMember, name)
		case !m.votes && !record.GetVoter():
			return nil, fmt.Sprintf("server %s is a read replica already", name), nil
		}
		if err := c.without(all, name, request.GetForce()); err != nil {
			return nil, "", err
		}
		want.Voter = false
		done = fmt.Sprintf("server %s is a read replica", name)
	default:
		return nil, "", fmt.Errorf("order %s: must be one that this version knows", request.GetOrder())
	}
	return &intentpb.Command{Operation: &intentpb.Command_SetServer{SetServer: &intentpb.SetServer{Server: want}}}, done, nil
}
