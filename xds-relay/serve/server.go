package serve

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"

	"pentad.dev/pentad/federation/feed"
)

// Server serves the resources of one view to any number of streams.
type Server struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer

	cfg     Config
	table   *table
	metrics *metrics
	// complaints bounds what clients can make us log.
	complaints *rate.Limiter
	suppressed atomic.Uint64

	// pumping serializes the reading of the feed.
	pumping sync.Mutex
	cursor  *feed.Cursor

	mu      sync.Mutex
	streams map[*stream]struct{}
	lastID  uint64
	closing bool
	// running counts the goroutines of streams.
	running sync.WaitGroup
}

// New returns a server that answers streams once Resources is ready. Register it, and Run it.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("serve: registering metrics: %w", err)
	}
	return &Server{
		cfg:        cfg,
		table:      newTable(cfg),
		metrics:    m,
		complaints: rate.NewLimiter(5, 20),
		cursor:     cfg.Resources.Cursor(feed.Position{}),
		streams:    make(map[*stream]struct{}),
	}, nil
}

// Register adds the xDS services to a gRPC server, which must have been made with ServerOptions or at least Codec.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	discovery.RegisterAggregatedDiscoveryServiceServer(r, s)
}

// Run passes on what changes until ctx ends; then it refuses new streams and closes the present ones, spread over
// Drain so that the relays which the clients turn to are not asked by all at once. It returns when every stream has
// ended, so stop the gRPC server after it.
func (s *Server) Run(ctx context.Context) error {
	defer s.cursor.Close()
	ended := ctx.Done()
	drained := make(chan struct{})
	for {
		select {
		case <-ended:
			ended = nil
			go func() {
				defer close(drained)
				s.drain()
			}()
		case <-drained:
			return nil
		case <-s.cursor.Wake():
			// Also while streams are closed: those that are left still need what changes.
			s.pump()
		}
	}
}

// pump applies what the feed has and wakes the streams that it concerns.
func (s *Server) pump() {
	s.pumping.Lock()
	defer s.pumping.Unlock()
	for b, ok := s.cursor.Next(); ok; b, ok = s.cursor.Next() {
		for _, ib := range s.table.apply(b, time.Now()) {
			ib.signal()
		}
	}
}

// ready says whether streams may be answered, and if so makes sure that the table shows all that made it so.
func (s *Server) ready() bool {
	if s.cfg.faults.answerUnready {
		return true
	}
	if s.cfg.Resources.Position().IsZero() || s.cfg.Ready != nil && !s.cfg.Ready() {
		return false
	}
	s.pump()
	return true
}

// drain closes all streams, paced.
func (s *Server) drain() {
	s.mu.Lock()
	s.closing = true
	all := slices.Collect(maps.Keys(s.streams))
	s.mu.Unlock()
	if len(all) > 0 {
		s.cfg.Log.Info("closing xDS streams", "streams", len(all), "over", s.cfg.Drain)
	}
	start := time.Now()
	for i, st := range all {
		time.Sleep(time.Until(start.Add(s.cfg.Drain * time.Duration(i) / time.Duration(len(all)))))
		st.stop()
	}
	s.running.Wait()
}

// admit adds a stream, unless the server is closing.
func (s *Server) admit(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.lastID++
	st.id = s.lastID
	s.streams[st] = struct{}{}
	s.running.Add(1)
	s.metrics.streams.Inc()
	return true
}

func (s *Server) dismiss(st *stream) {
	st.mu.Lock()
	st.core.close()
	st.mu.Unlock()
	s.mu.Lock()
	delete(s.streams, st)
	s.mu.Unlock()
	s.metrics.streams.Dec()
	s.running.Done()
}
