package server

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	// clockHeader says what a calling server's clock shows, in Unix milliseconds.
	clockHeader = "pentad-clock"
	// clockSlack is how far clocks may differ, of servers, and of a backup and of who restores it.
	clockSlack = time.Minute
	// clockWarns is how often a server is warned of.
	clockWarns = 10 * time.Minute
)

// now is the time of day. It decides about tokens and certificates, and numbers new lives; leadership and permits count on
// clocks that nobody sets.
func (s *Core) now() time.Time {
	if s.env.Adjust.Clock != nil {
		return s.env.Adjust.Clock()
	}
	return time.Now()
}

// sayClock adds the header to calls of other servers.
func (s *Core) sayClock(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, clockHeader, strconv.FormatInt(s.now().UnixMilli(), 10))
}

// compareClocks notes how far a calling server's clock is off. Who is one of the estate goes on, with a warning: a clock
// that jumps must not end what runs. Who would become one is refused.
func (s *Core) compareClocks(ctx context.Context, caller string) error {
	said := metadata.ValueFromIncomingContext(ctx, clockHeader)
	if len(said) != 1 {
		return nil // of a version that does not say it
	}
	ms, err := strconv.ParseInt(said[0], 10, 64)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "%s: %.40q is no time in milliseconds", clockHeader, said[0])
	}
	theirs, ours := time.UnixMilli(ms).UTC(), s.now().UTC()
	if off := theirs.Sub(ours); off.Abs() <= clockSlack {
		return nil
	}
	enrolled := len(metadata.ValueFromIncomingContext(ctx, clusterHeader)) > 0
	if !enrolled {
		return status.Errorf(codes.InvalidArgument, "the clock of server %s says %s, that of server %s %s: they may differ by %s: "+
			"set the clock that is wrong", caller, theirs.Format(time.RFC3339), s.config.Name, ours.Format(time.RFC3339), clockSlack)
	}
	s.clocks.warn(s.log, caller, s.config.Name, theirs, ours)
	return nil
}

// clocks are the servers that were warned of, because their clocks are off.
type clocks struct {
	mu   sync.Mutex
	said map[string]time.Time
}

func (c *clocks) warn(log *slog.Logger, caller, own string, theirs, ours time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.said[caller]; ok && time.Since(last) < clockWarns {
		return
	}
	if c.said == nil {
		c.said = map[string]time.Time{}
	}
	c.said[caller] = time.Now()
	log.Warn("the clocks of two servers are far apart: tokens, certificates and the numbers of new lives go by them: set the one "+
		"that is wrong", "server", caller, "its clock", theirs.Format(time.RFC3339), "own", own, "own clock", ours.Format(time.RFC3339),
		"difference", fmt.Sprint(theirs.Sub(ours).Round(time.Second)))
}
