package serve

import (
	"errors"
	"io"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// stream is the shell of one stream: it moves messages between gRPC and the state machine.
type stream struct {
	id       uint64
	identity string
	address  string
	since    time.Time
	stopped  chan struct{}
	stop     func()

	// mu guards what follows between the stream's goroutine and Streams.
	mu   sync.Mutex
	node string
	core *sotw
}

// StreamAggregatedResources serves ADS in its state-of-the-world form.
func (s *Server) StreamAggregatedResources(
	grpcStream grpc.BidiStreamingServer[discovery.DiscoveryRequest, discovery.DiscoveryResponse],
) error {
	if !s.ready() {
		// Nothing may be answered in part, and a client that is refused before any response goes to the next relay
		// (A71).
		return status.Error(codes.Unavailable, "this relay has no complete set of resources yet")
	}
	st := newStream(grpcStream, newSotw(s.cfg, s.table))
	if !s.admit(st) {
		return status.Error(codes.Unavailable, "this relay is shutting down")
	}
	defer s.dismiss(st)
	requests, failed := s.receive(grpcStream)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for pinned := false; ; {
		select {
		case req := <-requests:
			if err := s.take(st, req, pinned, requests); err != nil {
				return err
			}
			pinned = true
		case <-st.core.inbox.wake:
		case <-timer.C:
		case <-st.stopped:
			return status.Error(codes.Unavailable, "this relay is shutting down")
		case err := <-failed:
			return err
		}
		again, err := s.send(st, grpcStream)
		if err != nil {
			return err
		}
		timer.Reset(untilOr(again, time.Hour))
	}
}

func newStream(s grpc.ServerStream, core *sotw) *stream {
	stopped := make(chan struct{})
	st := &stream{since: time.Now(), stopped: stopped, stop: sync.OnceFunc(func() { close(stopped) }), core: core}
	if p, ok := peer.FromContext(s.Context()); ok {
		st.address = p.Addr.String()
		st.identity = identityOf(p.AuthInfo)
	}
	return st
}

// identityOf is who the certificate says that the peer is; the server's tls.Config has verified it. What a client
// says of itself in Node is never taken for it.
func identityOf(info credentials.AuthInfo) string {
	t, ok := info.(credentials.TLSInfo)
	switch {
	case !ok || len(t.State.PeerCertificates) == 0:
		return ""
	case t.SPIFFEID != nil:
		return t.SPIFFEID.String()
	default:
		return t.State.PeerCertificates[0].Subject.String()
	}
}

// receive reads requests in a goroutine of its own, which ends with the stream.
func (s *Server) receive(
	grpcStream grpc.BidiStreamingServer[discovery.DiscoveryRequest, discovery.DiscoveryResponse],
) (<-chan *discovery.DiscoveryRequest, <-chan error) {
	requests, failed := make(chan *discovery.DiscoveryRequest, 8), make(chan error, 1)
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		for {
			req, err := grpcStream.Recv()
			if errors.Is(err, io.EOF) {
				err = nil
				failed <- err
				return
			}
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- req:
			case <-grpcStream.Context().Done():
				return
			}
		}
	}()
	return requests, failed
}

// take hands a request, and those that have arrived behind it, to the state machine: a client that subscribes to
// several things in a row gets them in the order that is good for it.
func (s *Server) take(
	st *stream, req *discovery.DiscoveryRequest, pinned bool, more <-chan *discovery.DiscoveryRequest,
) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		node := req.GetNode().GetId()
		switch {
		case !pinned:
			st.node, pinned = node, true
		case node != "" && node != st.node:
			return status.Errorf(codes.InvalidArgument, "node.id is %q: the stream's first request pinned it to %q",
				node, st.node)
		}
		nack, err := st.core.request(req, time.Now())
		if nack != nil {
			s.refused(st, nack)
		}
		if err != nil {
			return err
		}
		select {
		case req = <-more:
		default:
			return nil
		}
	}
}

// send sends what is to be sent now. While it blocks, the client being slow, changes gather in the inbox.
func (s *Server) send(st *stream, grpcStream grpc.ServerStream) (again time.Time, err error) {
	st.mu.Lock()
	out, again, err := st.core.respond(time.Now())
	oversized, missed := st.core.oversized, st.core.missed
	st.core.oversized, st.core.missed = nil, nil
	st.mu.Unlock()
	for _, o := range oversized {
		s.tooLarge(st, o)
	}
	for _, m := range missed {
		s.tookBack(st, m)
	}
	for _, r := range out {
		if err := grpcStream.SendMsg(r); err != nil {
			return again, err
		}
		s.metrics.pushed(r)
	}
	return again, err
}

func untilOr(t time.Time, otherwise time.Duration) time.Duration {
	if t.IsZero() {
		return otherwise
	}
	return max(time.Until(t), time.Millisecond)
}
