package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
	"pentad.dev/pentad/unitization/switchover"
)

// authority is the replicated ownership as permits need it: any server answers, after a linearizable read.
type authority struct{ *backend }

var _ stream.Authority = authority{}

// Read implements stream.Authority.
func (a authority) Read(ctx context.Context) (uint64, error) { return a.ReadRevision(ctx) }

// State implements stream.Authority.
func (a authority) State() (switchover.State, uint64, <-chan struct{}) { return a.machine.Ownership() }

// WaitRevision implements stream.Authority.
func (a authority) WaitRevision(ctx context.Context, revision uint64) error {
	return a.machine.WaitRevision(ctx, revision)
}

// OpenSession implements stream.Authority.
func (a authority) OpenSession(ctx context.Context, s switchover.Session) error {
	holder := intentpb.Holder_HOLDER_RELAY
	if s.Holder == switchover.Agent {
		holder = intentpb.Holder_HOLDER_AGENT
	}
	return a.decide(ctx, &intentpb.Command{Operation: &intentpb.Command_OpenSession{OpenSession: &intentpb.OpenSession{
		Session: &intentpb.Session{Id: s.ID, Holder: holder, Name: s.Name, Cluster: s.Cluster, Center: s.Center},
	}}})
}

// AckFreeze implements stream.Authority.
func (a authority) AckFreeze(ctx context.Context, acks []switchover.AckFreeze) error {
	command := &intentpb.AckFreeze{}
	for _, ack := range acks {
		command.Acks = append(command.Acks, &intentpb.FreezeAck{Session: ack.Session, Freeze: ack.Freeze})
	}
	return a.decide(ctx, &intentpb.Command{Operation: &intentpb.Command_AckFreeze{AckFreeze: command}})
}

// decide proposes a command of this server's own.
func (a authority) decide(ctx context.Context, command *intentpb.Command) error {
	command.Id, command.ProposedAtUnixMs = newID(), time.Now().UnixMilli()
	result, err := a.Propose(ctx, command)
	if err != nil {
		return err
	}
	if !result.OK {
		return fmt.Errorf("refused: %w", result.Errors().ToAggregate())
	}
	return nil
}

// mayHold lets relays and agents ask for permits in their own name, for the center that their cluster is declared in.
func (s *Core) mayHold(ctx context.Context, open *permitpb.Open) error {
	caller, err := identity.Caller(ctx)
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	roles := map[permitpb.Holder]identity.Role{
		permitpb.Holder_HOLDER_RELAY: identity.RoleRelay, permitpb.Holder_HOLDER_AGENT: identity.RoleAgent,
	}
	if role, ok := roles[open.GetHolder()]; !ok || caller.Role != role || caller.Name != open.GetName() ||
		caller.Cluster() != open.GetCluster() {
		return status.Errorf(codes.PermissionDenied, "%s may not hold permits as %s %q of cluster %q: only in its own name",
			caller, open.GetHolder(), open.GetName(), open.GetCluster())
	}
	cluster, ok := s.cluster(open.GetCluster())
	switch {
	case !ok:
		return status.Errorf(codes.PermissionDenied, "cluster %q is not declared, as far as this server knows", open.GetCluster())
	case cluster.Spec.Center != open.GetCenter():
		return status.Errorf(codes.PermissionDenied, "center %q: cluster %q is in center %q",
			open.GetCenter(), open.GetCluster(), cluster.Spec.Center)
	}
	return nil
}

// Progress implements the service of servers: what this one hears of sessions.
func (f forwarded) Progress(context.Context, *intentpb.ProgressRequest) (*intentpb.ProgressResponse, error) {
	return &intentpb.ProgressResponse{Sessions: progress(f.server.permits)}, nil
}

func progress(permits *stream.Root) (sessions []*intentpb.SessionProgress) {
	for _, p := range permits.Progress() {
		sessions = append(sessions, &intentpb.SessionProgress{
			Session: p.Session, AgeMs: p.Age.Milliseconds(), Rendered: p.Rendered,
		})
	}
	return sessions
}

// newID is a command's id.
func newID() []byte {
	id := make([]byte, intent.IDSize)
	_, _ = rand.Read(id) // it never fails
	return id
}

func (s *Core) cluster(name string) (*v1alpha1.Cluster, bool) {
	for cluster := range s.machine.View().Lookup().Clusters() {
		if cluster.Name == name {
			return cluster, true
		}
	}
	return nil, false
}

// concerns says whether a Unitization has cells in a center: permits bring the maps of those alone.
func (s *Core) concerns(unitization, center string) bool {
	for u := range s.machine.View().Lookup().Unitizations() {
		if u.Name != unitization {
			continue
		}
		for _, unit := range u.Spec.Units {
			for _, cell := range unit.Cells {
				if cell.Center == center {
					return true
				}
			}
		}
	}
	return false
}

// servePermits makes the root of all permits, and the service that relays and agents ask it by.
func (s *Core) servePermits(metrics process.Metrics) (err error) {
	s.permits, err = stream.NewRoot(adjusted(stream.RootConfig{
		Authority: authority{s.backend}, Concerns: s.concerns, Log: s.log, Metrics: metrics,
	}, s.env.Adjust.Permits))
	if err != nil {
		return err
	}
	service, err := stream.NewServer(stream.ServerConfig{
		Grantor: s.permits, Authorize: s.mayHold, Log: s.log, Metrics: metrics,
	})
	if err == nil {
		permitpb.RegisterPermitsServer(s.grpc, service)
	}
	return err
}
