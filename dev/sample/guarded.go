package sample

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/unitization/guard"
)

// guarded is an instance's guard, whose decisions are journalled.
type guarded struct {
	guard    *guard.Guard
	instance Instance
	journal  *record.Journal
}

func (s *Server) newGuarded(in Instance) (*guarded, error) {
	source, err := s.load(in.Certificates)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	g := &guarded{instance: in, journal: s.journal}
	g.guard, err = guard.New(guard.Config{
		Cells: []string{in.Cell}, Service: in.Service, Relays: peers(s.cfg.Relays, source, identity.RoleRelay),
		Name: in.Name, Cluster: s.cfg.Cluster, Center: s.cfg.Center, Observer: g.observe, Dial: s.cut.Dialer(),
		Drain: drainFor, Log: s.log,
	})
	return g, err
}

// openJournal makes the process's journal, if it has guards.
func (s *Server) openJournal() error {
	guards := false
	for _, in := range s.cfg.Instances {
		guards = guards || in.Cell != ""
	}
	if !guards {
		return nil
	}
	if err := os.MkdirAll(s.cfg.Records, 0o755); err != nil {
		return err
	}
	begun := record.Now()
	var err error
	s.journal, err = record.CreateJournal(
		filepath.Join(s.cfg.Records, fmt.Sprintf("%s-%d%s", s.cfg.Name, begun, record.JournalExtension)),
	)
	s.journal.Add(record.Entry{
		What: record.Opened, At: begun, Process: s.cfg.Name, Center: s.cfg.Center, Region: s.cfg.Region, PID: os.Getpid(),
	})
	return err
}

// unary is the guard's interceptor with a journal around it: what it lets through is told before the handler runs,
// and so before a freeze can be acknowledged.
func (g *guarded) unary() grpc.UnaryServerInterceptor {
	check := g.guard.UnaryServerInterceptor()
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		passed := false
		reply, err := check(ctx, req, info, func(ctx context.Context, req any) (any, error) {
			passed = true
			if p, ok := g.guard.Permission(ctx); ok && !p.Read {
				g.journal.Add(record.Entry{
					What: record.Admitted, At: record.Now(), Guard: g.instance.Name, Cell: p.Cell, Unitization: p.Unitization,
					Shard: p.Shard, Since: p.Since, Method: info.FullMethod, WriteID: writeID(req), Left: p.Left,
				})
			}
			return handler(ctx, req)
		})
		if refusal, ok := guard.RefusalOf(err); ok && !passed {
			g.journal.Add(record.Entry{
				What: record.Refused, At: record.Now(), Guard: g.instance.Name, Cell: g.instance.Cell,
				Unitization: refusal.Unitization, Shard: max(0, refusal.Shard), Since: refusal.Since, Method: info.FullMethod,
				WriteID: writeID(req), Reason: string(refusal.Reason),
			})
		}
		return reply, err
	}
}

func writeID(req any) string {
	if write, ok := req.(interface{ GetWrite() string }); ok {
		return write.GetWrite()
	}
	return ""
}

// observe journals the doors; decisions are journalled where the request is known.
func (g *guarded) observe(e guard.Event) {
	if e.Kind != guard.Opened && e.Kind != guard.Closed {
		return
	}
	g.journal.Add(record.Entry{
		What: record.Door, At: record.Now(), Guard: g.instance.Name, Cell: e.Cell, Unitization: e.Unitization,
		From: e.From, To: e.To, Since: e.Since, Open: e.Kind == guard.Opened, Reason: string(e.Reason),
	})
}

// permission is what a handler's request was let in for.
func (g *guarded) permission(ctx context.Context) permission {
	p, _ := g.guard.Permission(ctx)
	return permission{unitization: p.Unitization, shard: p.Shard, since: p.Since}
}
