package serve

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/feed"
)

// A gate holds back what would name something that the client does not have yet, or take away what it still names.
// Listeners and routes wait for the acknowledgement of clusters and endpoints, on wildcard streams only: a client
// that names what it wants asks in its own order. The removal of a cluster, and of its assignment, waits for that of
// routes and listeners on every stream, since it may come with the commit that moves the routes away. Positions
// decide: something that came with the commit at p may go when the types it waits for are settled up to p. Clusters
// never wait for endpoints' answers, nor endpoints for clusters': a client withholds the acknowledgement of clusters
// until it has their endpoints (rule 4).

// gated says whether this is a wildcard stream, of a client that takes clusters as they come.
func (s *sotw) gated() bool {
	sub := s.types[ClusterType]
	return sub != nil && sub.wildcard && !s.cfg.faults.noGate
}

// settled is the position up to which the client acknowledged everything of a type; a type that it asks for nothing of
// never holds anything up. The table's read lock is held.
func (s *sotw) settled(url string) feed.Position {
	sub := s.types[url]
	if sub == nil || sub.idle() || sub.set == nil && !sub.wildcard {
		return s.table.at
	}
	return sub.settled
}

// holds says that sub must not send yet what came with the commit at p, since a type that it waits for is not settled
// up to there. It notes since when it waits; after GateLapse the gate lapses, and stays open until the client has
// caught up.
func (s *sotw) holds(sub *subscription, p feed.Position, now time.Time, types ...string) bool {
	if s.behind || !slices.ContainsFunc(types, func(url string) bool { return s.settled(url).Before(p) }) {
		return false
	}
	if sub.waiting.IsZero() {
		sub.waiting = now
		if !sub.waited.IsZero() {
			sub.waiting = sub.waited
		}
	}
	if now.Sub(sub.waiting) < s.cfg.GateLapse {
		return true
	}
	s.behind, sub.waiting = true, time.Time{}
	return false
}

// named says that what was removed at p may still be named by the client's routes. The acknowledgement of new routes
// is not enough for clients that name what they want: they acknowledge what they received, and go by the old until
// they have the clusters of the new (gRFC A74). So a cluster stays for Linger after routes were sent, or until it is
// not asked for.
func (s *sotw) named(sub *subscription, p feed.Position, now time.Time) bool {
	if s.holds(sub, p, now, RouteType, ListenerType) {
		return true
	}
	if s.gated() {
		return false
	}
	var until time.Time
	for _, url := range []string{RouteType, ListenerType} {
		if routes := s.types[url]; routes != nil && until.Before(routes.sentAt) {
			until = routes.sentAt
		}
	}
	if until = until.Add(s.cfg.Linger); !now.Before(until) {
		return false
	}
	sub.lingers = until
	return true
}

// early says that what names clusters has to wait until the client has them.
func (s *sotw) early(sub *subscription, p feed.Position, now time.Time) bool {
	return sub.kind.gated && s.gated() && s.holds(sub, p, now, ClusterType, EndpointType)
}

// keep leaves in a set of clusters those that were removed but may still be named by the client's routes. unchanged:
// with them, there is nothing to send.
func (s *sotw) keep(sub *subscription, sh *shelf, list []*resource, now time.Time) (with []*resource, unchanged bool) {
	if sub.kind.url != ClusterType || !sub.shown || s.cfg.faults.dropAtOnce {
		return list, false
	}
	with, kept := merge(list, sub.sent, sub.wildcard)
	if len(kept) == 0 || !s.named(sub, sh.changed, now) {
		sub.kept = nil
		return list, false
	}
	sub.kept = kept
	return with, !sub.answer && slices.Equal(with, sub.sent)
}

// merge returns list with what was there before and is gone, and that alone. All are sorted. In a wildcard's set gone
// is what list does not have; in a set of names, what it has as missing.
func merge(list, before []*resource, wildcard bool) (with, gone []*resource) {
	i := 0
	for _, old := range before {
		for i < len(list) && list[i].name < old.name {
			with, i = append(with, list[i]), i+1
		}
		listed := i < len(list) && list[i].name == old.name
		if old.missing || listed && !list[i].missing || !listed && !wildcard {
			continue
		}
		if listed {
			i++
		}
		with, gone = append(with, old), append(gone, old)
	}
	return append(with, list[i:]...), gone
}

// removesEarly says that an assignment has to stay, since its cluster was removed but may still be named by the
// client's routes.
func (s *sotw) removesEarly(sub *subscription, res *resource, now time.Time) bool {
	clusters := s.types[ClusterType]
	if sub.kind.url != EndpointType || !res.missing || clusters == nil || s.cfg.faults.dropAtOnce {
		return false
	}
	i, has := slices.BinarySearchFunc(clusters.sent, res, byName)
	return has && !clusters.sent[i].missing && !s.table.shelf(ClusterType).has(res.name) &&
		s.named(sub, res.at, now)
}

func (sub *subscription) hold(name string) {
	if sub.held == nil {
		sub.held = make(map[string]struct{}, 1)
	}
	sub.held[name] = struct{}{}
}

// reconsider lets go what gates held back, once they open.
func (s *sotw) reconsider(sub *subscription, now time.Time) {
	if len(sub.kept) > 0 && !sub.full && !s.named(sub, s.table.shelf(sub.kind.url).changed, now) {
		sub.full = true
	}
	for name := range sub.held {
		res := s.table.get(sub.kind.url, name)
		if res == nil || !s.removesEarly(sub, res, now) {
			delete(sub.held, name)
			sub.due[name] = false
		}
	}
}

// deadline says when a gate lapses next, and ends a stream whose client has not answered for so long after one did.
func (s *sotw) deadline(now time.Time) (again time.Time, err error) {
	soonest := func(t time.Time) {
		if again.IsZero() || t.Before(again) {
			again = t
		}
	}
	settled := true
	for _, sub := range s.order {
		settled = settled && s.settled(sub.kind.url) == s.table.at
		if !sub.waiting.IsZero() && !s.behind {
			soonest(sub.waiting.Add(s.cfg.GateLapse))
		}
		if !sub.lingers.IsZero() {
			soonest(sub.lingers)
		}
		if sub.waits() {
			soonest(sub.wait.until)
		}
	}
	if settled {
		s.behind = false
	}
	if !s.behind || !s.gated() {
		return again, nil
	}
	for _, sub := range s.order {
		if len(sub.flight) == 0 {
			continue
		}
		end := sub.flight[0].at.Add(s.cfg.CloseBehind)
		if !now.Before(end) {
			return time.Time{}, status.Errorf(codes.Unavailable, "no answer for %v to version %s of %s", s.cfg.CloseBehind,
				sub.flight[0].version, sub.kind.url)
		}
		soonest(end)
	}
	return again, nil
}
