package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// ServiceConfig configures a Service.
type ServiceConfig struct {
	// Set is what is served and what is published into. Required.
	Set *Set
	// Authorize says whether the caller may publish the feed; ctx is the stream's, with the peer's identity. Nil: nobody
	// may. IntentID is never accepted.
	Authorize func(ctx context.Context, id ID) error
	// AuthorizeRead says whether the caller may read the feed. Nil: nobody may.
	AuthorizeRead func(ctx context.Context, id ID) error
	// Validator judges published records; may be nil.
	Validator Validator
	// Heartbeat is the time between signs of life on an idle stream; 0: one second. A stream of which nothing is heard
	// for four heartbeats (at least two seconds) is closed.
	Heartbeat time.Duration
	// MaxAhead is how far an incarnation may lie in the future of this process's clock (rule 5); 0: a day.
	MaxAhead time.Duration
	// Clock is the wall clock that incarnations are compared with; nil: time.Now.
	Clock func() time.Time
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Validate says what is wrong with the configuration.
func (c ServiceConfig) Validate() error {
	switch {
	case c.Set == nil:
		return errors.New("feed service: set: is required")
	case c.Heartbeat < 0:
		return fmt.Errorf("feed service: heartbeat: %s: must not be negative", c.Heartbeat)
	case c.MaxAhead < 0:
		return fmt.Errorf("feed service: maxAhead: %s: must not be negative", c.MaxAhead)
	}
	return nil
}

// Service is the server's side of both streams: it takes what writers publish and gives readers what the set holds.
type Service struct {
	feedpb.UnimplementedFeedsServer
	cfg   ServiceConfig
	count *counters

	mu sync.Mutex
	// publications are the streams of writers.
	publications map[*publication]struct{}
}

// NewService returns a service to be registered with feedpb.RegisterFeedsServer, on a server made with ServerOptions.
// It fails on a wrong configuration. Its streams end with the server's connections.
func NewService(cfg ServiceConfig) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = defaultHeartbeat
	}
	if cfg.MaxAhead == 0 {
		cfg.MaxAhead = 24 * time.Hour
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, count: newCounters(cfg.Metrics), publications: map[*publication]struct{}{}}, nil
}

// plausible says whether a writer may have taken the position's incarnation (rule 5).
func (s *Service) plausible(p Position) bool {
	return IncarnationTime(p.Incarnation).Before(s.cfg.Clock().Add(s.cfg.MaxAhead))
}

// Subscribe serves a reader: this is the sending half.
func (s *Service) Subscribe(stream grpc.BidiStreamingServer[feedpb.ReceiverMessage, feedpb.SenderMessage]) error {
	ctx := stream.Context()
	allowed := map[ID]bool{}
	offers := func(l *Log) bool {
		ok, known := allowed[l.id]
		if !known {
			ok = s.cfg.AuthorizeRead != nil && s.cfg.AuthorizeRead(ctx, l.id) == nil
			allowed[l.id] = ok
		}
		return ok
	}
	in := newInbox()
	s.cfg.Set.addWatcher(in)
	defer s.cfg.Set.removeWatcher(in)
	half := newSender(s.cfg.Set, in, offers)
	half.plausible = s.plausible
	x := half.exchange(stream.Recv, stream.Send, s.cfg.Heartbeat)
	_, err := x.run(ctx)
	return ended(err)
}

// Publish serves a writer: this is the receiving half.
func (s *Service) Publish(stream grpc.BidiStreamingServer[feedpb.SenderMessage, feedpb.ReceiverMessage]) error {
	ctx := stream.Context()
	in := newInbox()
	half := newReceiver(s.cfg.Set, in)
	defer half.end()
	half.fromWriter, half.validator, half.count = true, s.cfg.Validator, s.count
	half.report = func(id ID, what string, err error) { s.cfg.Log.Warn(what, "feed", string(id), "error", err) }
	half.refuses = func(id ID, to Position) error {
		if !s.plausible(to) {
			return fmt.Errorf("position %s: incarnation lies more than %s ahead of this server's clock", to, s.cfg.MaxAhead)
		}
		return nil
	}
	p := publication{ctx: ctx, service: s, half: half, homes: map[ID]*Log{}}
	s.mu.Lock()
	s.publications[&p] = struct{}{}
	s.mu.Unlock()
	defer p.end()
	x := half.exchange(stream.Recv, stream.Send, s.cfg.Heartbeat, p.announced)
	_, err := x.run(ctx)
	return ended(err)
}

// Reconsider asks again for the feeds that were not taken from their writers, because Authorize may say otherwise now.
func (s *Service) Reconsider(which func(ID) bool) {
	s.mu.Lock()
	publications := slices.Collect(maps.Keys(s.publications))
	s.mu.Unlock()
	for _, p := range publications {
		p.reconsider(which)
	}
}

// publication is what one writer publishes on one stream.
type publication struct {
	ctx     context.Context
	service *Service
	half    *receiver

	mu    sync.Mutex
	homes map[ID]*Log
	over  bool
}

// announced opens the feeds that the writer may write.
func (p *publication) announced(as []*feedpb.Announcement, lost []ID) {
	if len(as) == 0 && len(lost) == 0 {
		return
	}
	p.half.mu.Lock()
	defer p.half.mu.Unlock()
	for _, a := range as {
		if id := ID(a.GetFeed()); a.GetGone() {
			p.half.shut(id)
		} else {
			p.open(id)
		}
	}
	for _, id := range lost {
		if p.half.removedLocked(id) {
			p.open(id) // the copy is gone, the writer is not
		}
	}
	p.reconcile()
}

// open takes a feed if the writer may write it.
func (p *publication) open(id ID) {
	err := p.authorize(id)
	if err == nil {
		p.half.open(id, Filter{})
	} else if p.half.turnDown(id, err) {
		p.service.cfg.Log.Warn("publishing refused", "feed", string(id), "error", err)
	}
}

func (p *publication) reconsider(which func(ID) bool) {
	p.half.mu.Lock()
	defer p.half.mu.Unlock()
	for id, in := range p.half.feeds {
		if in.absent != "" && which(id) {
			p.open(id)
		}
	}
	p.reconcile()
	p.half.inbox.signal()
}

func (p *publication) authorize(id ID) error {
	switch {
	case id == IntentID:
		return errors.New("the intent is never published")
	case !id.nameable():
		return fmt.Errorf("a name of %d bytes: %d at most", len(id), mostName)
	case p.service.cfg.Authorize == nil:
		return errors.New("this service takes no feeds")
	}
	return p.service.cfg.Authorize(p.ctx, id)
}

// reconcile makes this process the home of what is open.
func (p *publication) reconcile() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, l := range p.homes {
		if in := p.half.feeds[id]; in == nil || in.absent != "" || in.log != l {
			delete(p.homes, id)
			l.home(-1)
		}
	}
	for id, in := range p.half.feeds {
		if p.homes[id] == nil && in.absent == "" && !p.over {
			p.homes[id] = in.log
			in.log.home(+1)
		}
	}
}

func (p *publication) end() {
	p.service.mu.Lock()
	delete(p.service.publications, p)
	p.service.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for id, l := range p.homes {
		delete(p.homes, id)
		l.home(-1)
	}
}

// ended is the status that a caller gets.
func ended(err error) error {
	switch {
	case errors.Is(err, errMalformed):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, errSilent):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case status.Code(err) != codes.Unknown:
		return err
	}
	return status.Error(codes.Canceled, err.Error())
}
