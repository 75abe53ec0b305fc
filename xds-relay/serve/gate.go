package serve

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/feed"
)

// A gate holds back, on wildcard streams only, what would name something that the client does not have yet, or take
// away what it still names: listeners and routes wait for the acknowledgement of clusters and endpoints, the removal
// of clusters and of their assignments for that of routes and listeners. Positions decide: something that came with
// the commit at p may go when the types it waits for are settled up to p. Clusters never wait for endpoints' answers,
// nor endpoints for clusters': a client withholds the acknowledgement of clusters until it has their endpoints (rule
// 4).

// gated says whether gates apply to this stream: a client that takes clusters as they come. One that names them asks
// for what it needs in its own order.
func (s *sotw) gated() bool {
	sub := s.types[ClusterType]
	return sub != nil && sub.wildcard && !s.cfg.faults.noGate
}

// settled is the position up to which the client acknowledged everything of a type; a type that it never asked for
// never holds anything up. The table's read lock is held.
func (s *sotw) settled(url string) feed.Position {
	sub := s.types[url]
	if sub == nil || sub.idle() {
		return s.table.at
	}
	return sub.settled
}

// holds says that sub must not send yet what came with the commit at p, since a type that it waits for is not settled up
// to there. It notes since when it waits; after GateLapse the gate lapses, and stays open until the client has caught up.
func (s *sotw) holds(sub *subscription, p feed.Position, now time.Time, types ...string) bool {
	if !s.gated() || s.behind {
		return false
	}
	if !slices.ContainsFunc(types, func(url string) bool { return s.settled(url).Before(p) }) {
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

// keep adds to a wildcard's clusters those that were removed but may still be named by the client's routes.
// unchanged: with them, there is nothing to send.
func (s *sotw) keep(sub *subscription, sh *shelf, list []*resource, now time.Time) (with []*resource, unchanged bool) {
	if sub.kind.url != ClusterType || !sub.wildcard || !sub.shown || s.cfg.faults.dropAtOnce {
		return list, false
	}
	gone := missingFrom(list, sub.sent)
	if len(gone) == 0 || !s.holds(sub, sh.changed, now, RouteType, ListenerType) {
		sub.kept = nil
		return list, false
	}
	sub.kept = gone
	with = slices.Concat(list, gone)
	slices.SortFunc(with, byName)
	return with, !sub.answer && slices.Equal(with, sub.sent)
}

// removesEarly says that an assignment has to stay, since its cluster was removed but may still be named by the client's
// routes.
func (s *sotw) removesEarly(sub *subscription, res *resource, now time.Time) bool {
	clusters := s.types[ClusterType]
	if sub.kind.url != EndpointType || !res.missing || clusters == nil || s.cfg.faults.dropAtOnce {
		return false
	}
	_, has := slices.BinarySearchFunc(clusters.sent, res, byName)
	return has && !s.table.shelf(ClusterType).has(res.name) &&
		s.holds(sub, res.at, now, RouteType, ListenerType)
}

func (sub *subscription) hold(name string) {
	if sub.held == nil {
		sub.held = make(map[string]struct{}, 1)
	}
	sub.held[name] = struct{}{}
}

// reconsider lets go what gates held back, once they open.
func (s *sotw) reconsider(sub *subscription, now time.Time) {
	if len(sub.kept) > 0 && !sub.full &&
		!s.holds(sub, s.table.shelf(sub.kind.url).changed, now, RouteType, ListenerType) {
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
	}
	if settled {
		s.behind = false
	}
	if !s.behind {
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

// missingFrom returns what of old, by name, is not in list; both are sorted.
func missingFrom(list, old []*resource) []*resource {
	var gone []*resource
	i := 0
	for _, res := range old {
		for i < len(list) && list[i].name < res.name {
			i++
		}
		if i == len(list) || list[i].name != res.name {
			gone = append(gone, res)
		}
	}
	return gone
}
