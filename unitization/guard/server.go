package guard

import (
	"context"
	"errors"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// UnaryServerInterceptor checks each call. A write is in flight until its handler returns; what a handler leaves to
// other goroutines is not.
func (g *Guard) UnaryServerInterceptor() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if beside(info.FullMethod) {
			return handler(ctx, req)
		}
		d := g.Check(info.FullMethod, metadata.ValueFromIncomingContext(ctx, HeaderShard))
		g.tell(&d, info.FullMethod)
		if r := d.Refusal(); r != nil {
			return nil, r
		}
		defer d.Release()
		seen := d
		reply, err := handler(context.WithValue(ctx, decisionKey{}, func() Decision { return seen }), req)
		return reply, ours(err)
	}
}

// StreamServerInterceptor checks each call at its start, and a write again at each message received: routes bind at the
// start of a stream, and a stream outlives a switchover. A message is in flight until the handler receives the next
// one, or returns; a handler that goes on working on an earlier one asks Permission.Check before it writes. A refused
// message ends the call with the refusal, whatever the handler returns.
func (g *Guard) StreamServerInterceptor() grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if beside(info.FullMethod) {
			return handler(srv, ss)
		}
		shards := metadata.ValueFromIncomingContext(ss.Context(), HeaderShard)
		d := g.Check(info.FullMethod, shards)
		g.tell(&d, info.FullMethod)
		if r := d.Refusal(); r != nil {
			return r
		}
		s := &serverStream{ServerStream: ss, guard: g, method: info.FullMethod, shards: shards, now: d}
		s.ctx = context.WithValue(ss.Context(), decisionKey{}, s.decision)
		defer s.end()
		err := ours(handler(srv, s))
		if r := s.refusal(); r != nil {
			return r
		}
		return err
	}
}

// serverStream checks the messages of a stream.
type serverStream struct {
	grpc.ServerStream
	ctx    context.Context
	guard  *Guard
	method string
	shards []string

	mu sync.Mutex
	// now is the decision on the last message.
	now   Decision
	ended bool
}

func (s *serverStream) Context() context.Context { return s.ctx }

func (s *serverStream) RecvMsg(m any) error {
	if s.guard.cfg.broken.has(brokenStreamStart) {
		return s.ServerStream.RecvMsg(m)
	}
	s.mu.Lock()
	// Who waits for a message has done with the one before; else a stream that nothing comes over would hold up a freeze.
	s.now.Release()
	s.mu.Unlock()
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	d := s.guard.Check(s.method, s.shards)
	s.guard.tell(&d, s.method)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		d.Release()
		return context.Canceled
	}
	s.now = d
	if r := d.Refusal(); r != nil {
		return r
	}
	return nil
}

func (s *serverStream) decision() Decision {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *serverStream) refusal() *Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.Refusal()
}

func (s *serverStream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Release()
	s.ended = true
}

// beside says whether a method belongs to the server and not to the service: health checks and reflection change
// nothing and have no shard.
func beside(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.v1.Health/") || strings.HasPrefix(method, "/grpc.reflection.")
}

// ours takes the details off a refusal that a handler got from another service and passes on: to this one's caller it
// would say that nothing has been done here.
func ours(err error) error {
	var own *Refusal
	if err == nil || errors.As(err, &own) {
		return err
	}
	if _, refused := RefusalOf(err); !refused {
		return err
	}
	return status.Errorf(codes.FailedPrecondition, "another service refused: %s", status.Convert(err).Message())
}

type decisionKey struct{}

// Permission is what a handler may ask of the guard about its own request.
type Permission struct {
	Decision
	guard *Guard
}

// Permission is that of the request that ctx is of; false when it did not come through a guard.
func (g *Guard) Permission(ctx context.Context) (Permission, bool) {
	of, ok := ctx.Value(decisionKey{}).(func() Decision)
	if !ok {
		return Permission{}, false
	}
	d := of()
	d.count = nil
	return Permission{d, g}, true
}

// Check asks again, now: nil, or a *Refusal also when the shard has changed hands and come back in between. It has
// nothing to do with whether the request was a read.
func (p Permission) Check() error {
	d := p.guard.still(p.Shard, p.guard.cfg.Clock.Now())
	if r := d.Refusal(); r != nil {
		return r
	}
	if d.Since != p.Since && !p.Read {
		return &Refusal{
			Reason: Frozen, Unitization: d.Unitization, Shard: d.Shard, Since: d.Since, Unit: d.Unit,
			Detail: "the shard has moved since the request began",
		}
	}
	return nil
}
