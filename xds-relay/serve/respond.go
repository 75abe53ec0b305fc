package serve

import (
	"slices"
	"strconv"
	"time"
)

// respond returns what is to be sent now, in order, and when to look again if nothing else happens (zero: never). All
// of it shows the table at one position. An error ends the stream.
func (s *sotw) respond(now time.Time) (out []*response, again time.Time, err error) {
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	s.drain()
	for _, sub := range s.order {
		for r := s.next(sub, now); r != nil; r = s.next(sub, now) {
			out = append(out, r)
		}
	}
	again, err = s.deadline(now)
	return out, again, err
}

// drain takes over the marks that commits left.
func (s *sotw) drain() {
	if !s.inbox.full {
		return
	}
	s.inbox.full = false
	for url, m := range s.inbox.marks {
		if len(m.names) == 0 {
			continue
		}
		sub := s.types[url]
		marked := false
		for name := range m.names {
			switch {
			case !sub.wildcard && !sub.set.has(name):
				continue
			case sub.kind.whole:
				sub.touch(name)
			default:
				if _, ok := sub.due[name]; !ok {
					sub.due[name] = false
				}
			}
			marked = true
		}
		if marked && sub.since.IsZero() {
			sub.since = m.since
		}
		clear(m.names)
	}
}

// next returns the next response of a type, or nil if it has nothing to say or must wait.
func (s *sotw) next(sub *subscription, now time.Time) *response {
	sub.waited, sub.waiting, sub.lingers = sub.waiting, time.Time{}, time.Time{}
	s.reconsider(sub, now)
	switch busy := len(sub.flight); {
	case !sub.full && len(sub.due) == 0:
		return nil
	case s.catchingUp(sub, now):
		return nil
	case s.cfg.faults.thirdInFlight:
	case busy >= maxFlight, busy > 0 && !sub.answer && !sub.kind.urgent:
		// Changes that come while the client is busy become one response.
		sub.waiting = sub.waited
		return nil
	}
	if sub.kind.whole {
		return s.whole(sub, now)
	}
	return s.part(sub, now)
}

// part sends due names, as many as fit.
func (s *sotw) part(sub *subscription, now time.Time) *response {
	var list []*resource
	size := 0
	for _, name := range inOrder(sub.due) {
		res := s.table.get(sub.kind.url, name)
		switch {
		case res == nil: // an endpoint that was to follow its cluster unasked, and isn't there
			delete(sub.due, name)
			continue
		case s.removesEarly(sub, res, now):
			sub.hold(name)
			if !sub.due[name] {
				delete(sub.due, name)
				continue
			}
			// The client waits for it to warm the cluster: it gets what it was.
			if last := s.table.shelf(sub.kind.url).last(name); last != nil {
				res = last
			}
		case !res.missing && s.early(sub, res.at, now):
			continue
		case s.cfg.faults.silentOnMissing && res.missing:
			delete(sub.due, name)
			continue
		}
		if len(list) > 0 && size+res.size > s.cfg.SplitBytes {
			break
		}
		list, size = append(list, res), size+res.size
		delete(sub.due, name)
	}
	if len(list) == 0 {
		return nil
	}
	if len(sub.due) == 0 {
		sub.answer = false
	}
	return s.emit(sub, list, now)
}

func inOrder(names map[string]bool) []string {
	out := make([]string, 0, len(names))
	for name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// whole sends everything that was asked for.
func (s *sotw) whole(sub *subscription, now time.Time) *response {
	sh := s.table.shelf(sub.kind.url)
	if !sub.wildcard && sub.set == nil {
		sub.full, sub.changed, sub.answer = false, nil, false
		return nil
	}
	if s.early(sub, sh.changed, now) {
		return nil
	}
	list := s.content(sub, sh)
	list, unchanged := s.keep(sub, sh, list, now)
	if unchanged {
		sub.full, sub.changed = false, nil
		return nil
	}
	size := 0
	for _, res := range list {
		size += res.size
	}
	first, changed := !sub.shown, sub.changed
	sub.full, sub.changed, sub.answer = false, nil, false
	if size > s.cfg.MaxBytes && !sub.wildcard {
		// It can't be split, and a client that refuses it would come back for it for ever.
		s.oversized = append(s.oversized, &oversized{kind: sub.kind, size: size})
		return nil
	}
	if sub.kind.url == ClusterType {
		sub.sent = list
	}
	r := s.emit(sub, list, now)
	if sub.kind.url == ClusterType {
		for _, res := range sub.kept {
			delete(changed, res.name) // what changed is that it is to go
		}
		s.follow(list, changed, first)
	}
	return r
}

// content is what a stream asks for of a whole kind. What all wildcard streams share must not be modified.
func (s *sotw) content(sub *subscription, sh *shelf) []*resource {
	var list []*resource
	if sub.wildcard {
		list = sh.all()
	}
	if sub.set == nil {
		return list
	}
	list = slices.Clone(list)
	for _, name := range sub.set.names {
		e := sh.entries[name]
		if sub.wildcard && e.live || s.cfg.faults.silentOnMissing && e.res.missing {
			continue
		}
		list = append(list, e.res)
	}
	if sub.wildcard {
		slices.SortFunc(list, byName)
	}
	return list
}

// emit makes the response and notes it as in flight.
func (s *sotw) emit(sub *subscription, list []*resource, now time.Time) *response {
	s.nonce++
	r := &response{
		kind: sub.kind, version: s.version(sub), nonce: strconv.FormatUint(s.nonce, 10),
		controlPlane: s.cfg.Name, resources: list,
	}
	f := flight{nonce: r.nonce, version: r.version, resources: list, at: now}
	if !sub.full && len(sub.due) == 0 {
		f.covers = s.table.at
		r.since, sub.since = sub.since, time.Time{}
	}
	sub.flight = append(sub.flight, f)
	sub.shown, sub.sentAt = true, now
	return r
}

// follow sends the endpoints of clusters whose bytes changed on this stream after them, even if they are the same: a
// client warms a changed cluster afresh and may not ask again (rule 4). Named subscribers get those that they ask
// for; a wildcard one all, as it is about to ask for those that are new to it.
func (s *sotw) follow(clusters []*resource, changed map[string]struct{}, first bool) {
	sub := s.types[EndpointType]
	if sub == nil || sub.set == nil || s.cfg.faults.noFollow {
		return
	}
	for _, c := range clusters {
		if _, ok := changed[c.name]; !ok && !first {
			continue
		}
		if sub.set.has(c.name) || s.gated() {
			sub.due[c.name] = true
		}
	}
}
