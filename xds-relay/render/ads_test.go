package render

import (
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"pentad.dev/pentad/federation/feed"
)

// adsServer is the least xDS server that a gRPC client accepts: state of the world, on one stream, of names that the
// client asked for. It serves a feed of resources, and OnDemand and Absent for what isn't there.
type adsServer struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	log  *feed.Log
	view View
	// silent leaves out what is not in the feed.
	silent bool

	mu    sync.Mutex
	nacks []string
	acked map[string]int
}

// serveADS starts a server on loopback and returns it with its address.
func serveADS(t testing.TB, log *feed.Log, v View) (*adsServer, string) {
	t.Helper()
	s := &adsServer{log: log, view: v, acked: map[string]int{}}
	g := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
	return s, startServer(t, g)
}

func startServer(t testing.TB, g *grpc.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Serve(listener)
	}()
	t.Cleanup(func() { g.Stop(); <-done })
	return listener.Addr().String()
}

// rejected are the NACKs so far.
func (s *adsServer) rejected() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nacks)
}

// told waits until the client has acknowledged a type: what it does then is for what it was told. Of what it is not
// told it takes gRPC 15 s to despair.
func (s *adsServer) told(t testing.TB, typeURL string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		acked := s.acked[typeURL]
		s.mu.Unlock()
		if acked > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the client was told nothing of %s", typeURL)
		}
	}
}

type watch struct {
	names []string
	sent  string
	nonce int
}

func (s *adsServer) StreamAggregatedResources(stream grpc.BidiStreamingServer[discoveryv3.DiscoveryRequest,
	discoveryv3.DiscoveryResponse]) error {
	requests := make(chan *discoveryv3.DiscoveryRequest)
	go func() {
		defer close(requests)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- r:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	cursor := s.log.Cursor(feed.Position{})
	defer cursor.Close()
	watches := map[string]*watch{}
	for {
		select {
		case r, ok := <-requests:
			if !ok {
				return nil
			}
			s.note(r)
			w := watches[r.GetTypeUrl()]
			if w == nil {
				w = &watch{}
				watches[r.GetTypeUrl()] = w
			}
			if !slices.Equal(w.names, r.GetResourceNames()) {
				// Each added name is answered, though nothing changed.
				w.names, w.sent = r.GetResourceNames(), ""
			}
		case <-cursor.Wake():
			cursor.Next()
		}
		for _, typeURL := range []string{TypeCluster, TypeEndpoint, TypeListener, TypeRoute} {
			if w := watches[typeURL]; w != nil {
				if err := s.answer(stream, typeURL, w); err != nil {
					return err
				}
			}
		}
	}
}

func (s *adsServer) note(r *discoveryv3.DiscoveryRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.GetErrorDetail() != nil:
		s.nacks = append(s.nacks, r.GetTypeUrl()+": "+r.GetErrorDetail().GetMessage())
	case r.GetResponseNonce() != "":
		s.acked[r.GetTypeUrl()]++
	}
}

func (s *adsServer) answer(stream grpc.ServerStream, typeURL string, w *watch) error {
	response := &discoveryv3.DiscoveryResponse{TypeUrl: typeURL}
	content := ""
	for _, name := range w.names {
		body, ok := s.body(typeURL, name)
		if !ok {
			continue
		}
		resource := &anypb.Any{}
		if err := proto.Unmarshal(body, resource); err != nil {
			return err
		}
		response.Resources = append(response.Resources, resource)
		content += string(body)
	}
	if content == w.sent {
		return nil
	}
	w.sent = content
	w.nonce++
	response.Nonce = strconv.Itoa(w.nonce)
	response.VersionInfo = response.Nonce
	return stream.SendMsg(response)
}

func (s *adsServer) body(typeURL, name string) ([]byte, bool) {
	if r, ok := s.log.Get(typeURL, name); ok {
		return r.Value, true
	}
	if r, ok := OnDemand(typeURL, name); ok {
		return r.Body, true
	}
	r, ok := Absent(typeURL, name, s.view)
	return r.Body, ok && !s.silent
}
