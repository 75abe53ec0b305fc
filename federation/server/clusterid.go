package server

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// clusterHeader says in which cluster a calling server is enrolled. A server of another one, that has the same
// certificates, would read and write what is not its own: a copy of an estate, or one that was restored beside the old.
const clusterHeader = "pentad-cluster"

// sayCluster adds the header to calls of other servers.
func (s *Core) sayCluster(
	ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if cluster := s.node.Folder().Cluster; cluster != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, clusterHeader, cluster)
	}
	return call(s.sayClock(ctx), method, request, answer, conn, options...)
}

// clusterSaid is sayCluster for the streams of feeds.
type clusterSaid struct{ core *Core }

var _ credentials.PerRPCCredentials = clusterSaid{}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (c clusterSaid) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if cluster := c.core.node.Folder().Cluster; cluster != "" {
		return map[string]string{clusterHeader: cluster}, nil
	}
	return nil, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: an id is no secret.
func (clusterSaid) RequireTransportSecurity() bool { return false }

// unary guards the unary methods: they are what servers ask of each other.
func (s *Core) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	caller, err := identity.Caller(ctx)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	if caller.Role != identity.RoleServer {
		return nil, status.Errorf(codes.PermissionDenied, "%s may not call %s: only servers may", caller, info.FullMethod)
	}
	if err := s.compareClocks(ctx, caller.Name); err != nil {
		return nil, err
	}
	switch info.FullMethod {
	case intentpb.Membership_Enrol_FullMethodName: // asked by who is enrolled in nothing, or in doubt
	case intentpb.Membership_Join_FullMethodName:
		if err := s.enrolment.refusal(); err != nil {
			return nil, err
		}
	default:
		if err := s.admit(ctx, caller); err != nil {
			return nil, err
		}
	}
	return handler(ctx, request)
}

// streamed guards the streams: those of feeds, and of permits.
func (s *Core) streamed(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	caller, err := identity.Caller(stream.Context())
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	if err := s.admit(stream.Context(), caller); err != nil {
		return err
	}
	return handler(service, stream)
}

// admit refuses everyone while this server is enrolled in nothing, and servers of another cluster.
func (s *Core) admit(ctx context.Context, caller identity.ID) error {
	if err := s.enrolment.refusal(); err != nil {
		return err
	}
	if caller.Role != identity.RoleServer {
		return nil
	}
	said := strings.Join(metadata.ValueFromIncomingContext(ctx, clusterHeader), ",")
	own := s.node.Folder().Cluster
	if said == own || said == "" { // who is enrolled in nothing yet has nothing to mix up
		return nil
	}
	s.strangers.warn(s.log, "refused a server of another cluster", caller.Name, said, own)
	return status.Errorf(codes.PermissionDenied,
		"server %s is of cluster %s, server %s of cluster %s: they are not of one estate (a copy, or one that was restored?)",
		caller.Name, said, s.config.Name, own)
}

// strangers are servers of other clusters that have called, or were asked: each is warned of once.
type strangers struct {
	mu   sync.Mutex
	seen map[[2]string]bool
}

func (s *strangers) warn(log *slog.Logger, what, name, cluster, own string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := [2]string{name, cluster}
	if s.seen[key] {
		return
	}
	if s.seen == nil || len(s.seen) > 100 {
		s.seen = map[[2]string]bool{}
	}
	s.seen[key] = true
	log.Warn(what, "server", name, "cluster", cluster, "own", own)
}
