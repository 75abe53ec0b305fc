package serve

import (
	"slices"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/feed"
)

// maxTypes bounds the resource types of one stream.
const maxTypes = 32

// maxMessage bounds what is kept of a client's complaint, in bytes.
const maxMessage = 2000

// maxFlight is how many responses of a type may be unanswered: the second lets what must not wait pass the first.
const maxFlight = 2

// sotw is the state machine of one state-of-the-world stream: requests and the marks of commits go in, responses come
// out. It does no I/O and reads no clock. One goroutine at a time.
type sotw struct {
	cfg   Config
	table *table
	inbox *inbox

	types map[string]*subscription
	order []*subscription // by rank
	nonce uint64
	// behind: a gate lapsed on this stream, and the client has not caught up since.
	behind bool
	// oversized is what could not be sent since the shell last looked.
	oversized []*oversized
	// missed are the waits that ended in vain since the shell last looked.
	missed []*Miss
}

// oversized is a set that a client can't receive.
type oversized struct {
	kind kind
	size int
}

// subscription is a stream's state of one type.
type subscription struct {
	kind     kind
	named    bool // something was ever named on this stream (rule 9)
	wildcard bool
	set      *interest

	// answer: a request is waiting for its response.
	answer bool
	// full: the whole set is to be sent; whole kinds only. changed is what changed since it last was.
	full    bool
	changed map[string]struct{}
	// due is what is to be sent, by name, of kinds that are sent in part; true: the client waits for it, false: it
	// changed.
	due map[string]bool
	// held are removals that wait for routes (see gate.go).
	held map[string]struct{}
	// since is when the oldest change that is still to be sent was seen.
	since time.Time

	flight []flight
	// shown: the client has the set, because it was sent on this stream or because the client's version said so.
	shown bool
	// sent is what the last response of clusters carried, kept what of it only waits to be removed.
	sent, kept []*resource
	// waiting is since when a gate holds something back; waited is what it was before the present look at it.
	waiting, waited time.Time
	// lingers is when what only waits for a client to leave it goes; sentAt is when something was last sent.
	lingers, sentAt time.Time
	// settled: every change up to here was acknowledged; refused: the newest answer was a NACK.
	settled feed.Position
	refused bool
	// wait is for this relay to have what the client had elsewhere; nil: for nothing.
	wait *wait
	miss *Miss

	acked   string
	ackedAt time.Time
	nack    *Nack
	nacks   uint64
}

// flight is a response that was neither acknowledged nor refused yet, with the resources that it carried.
type flight struct {
	nonce, version string
	resources      []*resource
	at             time.Time
	// covers is the position up to which every change of the type has been sent with it; zero if some were left.
	covers feed.Position
}

func newSotw(cfg Config, t *table) *sotw {
	return &sotw{cfg: cfg, table: t, inbox: newInbox(), types: make(map[string]*subscription)}
}

// close takes the stream out of the index.
func (s *sotw) close() {
	for url, sub := range s.types {
		s.table.exchange(s.inbox, url, sub.set, nil, false)
		sub.set, sub.wildcard = nil, false
	}
}

// request takes in one DiscoveryRequest. It returns the refusal that the request brought, if it did; an error ends
// the stream.
func (s *sotw) request(req *discovery.DiscoveryRequest, now time.Time) (*Nack, error) {
	sub, first, err := s.subscription(req.GetTypeUrl())
	if err != nil {
		return nil, err
	}
	nack := s.answered(sub, req, now)
	names, star := req.GetResourceNames(), false
	if sub.kind.wildcard && slices.Contains(names, "*") {
		star = true
	}
	if len(names) > s.cfg.MaxNames {
		return nack, status.Errorf(codes.InvalidArgument, "resource_names has %d names of type %s: at most %d are allowed",
			len(names), sub.kind.url, s.cfg.MaxNames)
	}
	if len(names) > 0 {
		sub.named = true
	}
	wildcard := sub.kind.wildcard && (star || len(names) == 0 && (!sub.named || s.cfg.faults.emptyIsWildcard))
	if first || wildcard != sub.wildcard || !sub.set.same(names) {
		s.subscribe(sub, names, star, wildcard, first)
	}
	if first {
		s.greet(sub, req.GetVersionInfo(), now)
	}
	return nack, nil
}

func (s *sotw) subscription(url string) (sub *subscription, first bool, err error) {
	if sub = s.types[url]; sub != nil {
		return sub, false, nil
	}
	if url == "" {
		return nil, false, status.Error(codes.InvalidArgument, "type_url is empty: an aggregated stream needs one")
	}
	if len(s.types) >= maxTypes {
		return nil, false, status.Errorf(codes.InvalidArgument,
			"type_url %q is one more than the %d types that a stream may have", url, maxTypes)
	}
	sub = &subscription{kind: kindOf(url), due: make(map[string]bool)}
	s.types[url] = sub
	at, _ := slices.BinarySearchFunc(s.order, sub, func(a, b *subscription) int { return a.kind.rank - b.kind.rank })
	s.order = slices.Insert(s.order, at, sub)
	return sub, true, nil
}

// answered matches a request with the response that it answers, by nonce only: a request that was sent before the
// client saw the newest response bears an older version and says nothing about it.
func (s *sotw) answered(sub *subscription, req *discovery.DiscoveryRequest, now time.Time) *Nack {
	i := slices.IndexFunc(sub.flight, func(f flight) bool {
		if s.cfg.faults.ackByVersion && req.GetErrorDetail() == nil {
			return f.version == req.GetVersionInfo()
		}
		return f.nonce == req.GetResponseNonce()
	})
	if i < 0 {
		return nil
	}
	f := sub.flight[i]
	// A stream is in order: an answer to the second of two responses means that the first was seen, too.
	sub.flight = slices.Delete(sub.flight, 0, i+1)
	if e := req.GetErrorDetail(); e != nil {
		sub.refused = true
		sub.nacks++
		sub.nack = &Nack{
			Type: sub.kind.url, Version: f.version, Code: codes.Code(e.GetCode()), At: now,
			Message: e.GetMessage()[:min(len(e.GetMessage()), maxMessage)],
		}
		return sub.nack
	}
	sub.acked, sub.ackedAt, sub.refused = f.version, now, false
	if !f.covers.IsZero() {
		sub.settled = f.covers
	}
	return nil
}

// subscribe moves the stream to the names of a request. Every name that was added is answered, whatever the client
// may have had before; a name that was dropped needs no answer.
func (s *sotw) subscribe(sub *subscription, names []string, star, wildcard, first bool) {
	names = sorted(names, star)
	old := sub.set
	sub.set = s.table.exchange(s.inbox, sub.kind.url, old, names, wildcard)
	for _, name := range names {
		if old.has(name) || s.cfg.faults.ignoreAddedNames && !first {
			continue
		}
		sub.answer = true
		if sub.kind.whole {
			sub.touch(name)
		} else {
			sub.due[name] = true
		}
	}
	if old != nil {
		for _, name := range old.names {
			if !sub.set.has(name) {
				delete(sub.due, name)
				delete(sub.held, name)
			}
		}
	}
	if !wildcard {
		sub.kept, sub.sent = sub.among(sub.kept), sub.among(sub.sent)
	}
	if wildcard && !sub.wildcard {
		sub.answer, sub.full = true, true
	}
	sub.wildcard = wildcard
}

// among returns what of the list the stream still asks for by name.
func (sub *subscription) among(list []*resource) []*resource {
	if !slices.ContainsFunc(list, func(r *resource) bool { return !sub.set.has(r.name) }) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(r *resource) bool { return !sub.set.has(r.name) })
}

// greet decides what the first request of a type is answered: everything, but a wildcard that shows the version that
// it would get (rule 6). A client that names things may have left for another relay and come home with something else
// under an old version, so it is always answered; but not with routes older than those that it shows, if this relay is
// about to have newer ones (rule 7).
func (s *sotw) greet(sub *subscription, version string, now time.Time) {
	s.table.mu.RLock()
	defer s.table.mu.RUnlock()
	same := version != "" && version == s.version(sub)
	if same && sub.kind.whole && sub.wildcard && sub.set == nil || same && s.cfg.faults.suppressOnNewStream {
		sub.answer, sub.full, sub.changed, sub.shown = false, false, nil, true
		clear(sub.due)
		sub.acked, sub.settled = version, s.table.at
		if sub.kind.url == ClusterType && sub.wildcard {
			sub.sent = s.table.shelf(sub.kind.url).all()
		}
		return
	}
	s.await(sub, version, now)
}

// touch notes that a name of a whole set has something new.
func (sub *subscription) touch(name string) {
	sub.full = true
	if sub.changed == nil {
		sub.changed = make(map[string]struct{}, 1)
	}
	sub.changed[name] = struct{}{}
}

// idle says that the client acknowledged all that there is.
func (sub *subscription) idle() bool {
	return len(sub.flight) == 0 && !sub.full && len(sub.due) == 0 && !sub.refused
}

// sorted returns the names as an interest has them: in order, each once, without the wildcard.
func sorted(names []string, star bool) []string {
	if len(names) == 0 {
		return nil
	}
	out := slices.Clone(names)
	slices.Sort(out)
	out = slices.Compact(out)
	if star {
		out = slices.DeleteFunc(out, func(name string) bool { return name == "*" })
	}
	return out
}
