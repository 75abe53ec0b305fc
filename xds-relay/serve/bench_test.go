package serve

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"pentad.dev/pentad/federation/feed"
)

// remarshal is the peer of encode-once: each response is a message that gRPC's protobuf codec marshals, with the Any of
// its resource made once, as a server without a codec of its own would do.
type remarshal struct{ codec }

func (c remarshal) Marshal(v any) (mem.BufferSlice, error) {
	r, ok := v.(*response)
	if !ok {
		return c.codec.Marshal(v)
	}
	m := &discovery.DiscoveryResponse{VersionInfo: r.version, TypeUrl: r.kind.url, Nonce: r.nonce}
	for _, res := range r.resources {
		m.Resources = append(m.Resources, unpacked(res))
	}
	return c.proto.Marshal(m)
}

var anys sync.Map // *resource -> *anypb.Any

func unpacked(res *resource) *anypb.Any {
	if a, ok := anys.Load(res); ok {
		return a.(*anypb.Any)
	}
	a := &anypb.Any{}
	if err := proto.Unmarshal(res.body(), a); err != nil {
		panic(err)
	}
	anys.Store(res, a)
	return a
}

var peers = []struct {
	name  string
	codec encoding.CodecV2
}{{"once", Codec()}, {"marshal", remarshal{Codec().(codec)}}}

// assignment is an assignment with n endpoints.
func assignment(n, salt int) feed.Change {
	var addresses []string
	for i := range n {
		addresses = append(addresses, fmt.Sprintf("10.%d.%d.%d:9000", salt&255, i>>8, i&255))
	}
	return endpointsOf("svc", addresses...)
}

// BenchmarkEncode is the making of a response's bytes alone.
func BenchmarkEncode(b *testing.B) {
	for _, endpoints := range []int{10, 100, 5000} {
		for _, peer := range peers {
			b.Run(fmt.Sprintf("endpoints=%d/%s", endpoints, peer.name), func(b *testing.B) {
				r := &response{kind: kindOf(EndpointType), version: "0.0123456789abcdef", nonce: "17", resources: []*resource{
					newResource("svc", assignment(endpoints, 1).Value, 1, feed.Position{}),
				}}
				b.ReportAllocs()
				for b.Loop() {
					wire, err := peer.codec.Marshal(r)
					if err != nil {
						b.Fatal(err)
					}
					wire.Free()
				}
				anys.Clear()
			})
		}
	}
}

// BenchmarkPush is one change of an assignment to 1,000 streams, from the commit to bytes for gRPC, without it: what
// the server costs. once: ours; marshal: the same state machine, each response marshalled. One op is one push to one
// stream.
func BenchmarkPush(b *testing.B) {
	const streams = 1000
	for _, endpoints := range []int{10, 5000} {
		for _, peer := range peers {
			b.Run(fmt.Sprintf("endpoints=%d/%s", endpoints, peer.name), func(b *testing.B) {
				l := newLog(b, assignment(endpoints, 0))
				cursor := l.Cursor(feed.Position{})
				t := newTable(Config{})
				now := time.Now()
				pump := func() []*inbox {
					batch, _ := cursor.Next()
					return t.apply(batch, now)
				}
				pump()
				cores := make([]*sotw, streams)
				nonces := make([]string, streams)
				for i := range cores {
					cores[i] = newSotw(Config{}.withDefaults(), t)
					ask(b, cores[i], "")
					out, _, _ := cores[i].respond(now)
					nonces[i] = out[0].nonce
				}
				changes := []feed.Change{assignment(endpoints, 1), assignment(endpoints, 2)}
				var bytes int
				b.ReportAllocs()
				b.ResetTimer()
				for n := 0; n < b.N; n += streams {
					if _, err := l.Commit(changes[n/streams&1]); err != nil {
						b.Fatal(err)
					}
					if woken := pump(); len(woken) != streams {
						b.Fatalf("%d woken", len(woken))
					}
					for i, core := range cores {
						ask(b, core, nonces[i])
						out, _, err := core.respond(now)
						if err != nil || len(out) != 1 {
							b.Fatalf("%d responses, %v", len(out), err)
						}
						nonces[i] = out[0].nonce
						wire, err := peer.codec.Marshal(out[0])
						if err != nil {
							b.Fatal(err)
						}
						bytes = wire.Len()
						wire.Free()
					}
				}
				b.ReportMetric(float64(bytes), "wire-bytes/push")
				anys.Clear()
			})
		}
	}
}

func ask(b *testing.B, core *sotw, nonce string) {
	if _, err := core.request(&discovery.DiscoveryRequest{
		TypeUrl: EndpointType, ResponseNonce: nonce, ResourceNames: []string{"svc"},
	}, time.Time{}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkStreamState is what the server keeps for a stream of a client that asks for ten services; gRPC's own buffers
// and goroutines come on top. shared: all ask for the same; own: each for others.
func BenchmarkStreamState(b *testing.B) {
	const streams = 2000
	for _, own := range []bool{false, true} {
		b.Run(map[bool]string{false: "shared", true: "own"}[own], func(b *testing.B) {
			var total uint64
			for range b.N {
				t := newTable(Config{})
				cores := make([]*sotw, streams)
				before := heap()
				for i := range cores {
					cores[i] = newSotw(Config{}.withDefaults(), t)
					for _, url := range []string{ListenerType, RouteType, ClusterType, EndpointType} {
						req := &discovery.DiscoveryRequest{TypeUrl: url}
						for n := range 10 {
							name := fmt.Sprint("service-", n)
							if own {
								name = fmt.Sprint("service-", i, "-", n)
							}
							req.ResourceNames = append(req.ResourceNames, name)
						}
						if _, err := cores[i].request(req, time.Time{}); err != nil {
							b.Fatal(err)
						}
					}
					if _, _, err := cores[i].respond(time.Time{}); err != nil {
						b.Fatal(err)
					}
				}
				total += heap() - before
				runtime.KeepAlive(cores)
			}
			b.ReportMetric(float64(total)/float64(b.N)/streams, "B/stream")
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkBroadcast is the same over gRPC on loopback, clients on the same machine: one op is one change that 1,000
// streams on 20 connections have received.
func BenchmarkBroadcast(b *testing.B) {
	const streams, connections = 1000, 20
	for _, endpoints := range []int{10, 1000} {
		for _, peer := range peers {
			b.Run(fmt.Sprintf("endpoints=%d/%s", endpoints, peer.name), func(b *testing.B) {
				log := newLog(b, assignment(endpoints, 0))
				r := startRelayWith(b, log, "", func(c *Config) { c.Name = "" },
					append(ServerOptions(), grpc.ForceServerCodecV2(peer.codec)))
				var got atomic.Int64
				all := make(chan struct{}, 1)
				var running sync.WaitGroup
				ctx, cancel := context.WithCancel(context.Background())
				for range connections {
					conn := dialRaw(b, r.address)
					for range streams / connections {
						stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
							discovery.AggregatedDiscoveryService_StreamAggregatedResources_FullMethodName)
						if err != nil {
							b.Fatal(err)
						}
						running.Go(func() { receiveAll(stream, &got, streams, all) })
					}
				}
				<-all
				changes := []feed.Change{assignment(endpoints, 1), assignment(endpoints, 2)}
				b.ResetTimer()
				before := processorTime(b)
				for n := range b.N {
					r.commit(changes[n&1])
					<-all
				}
				b.StopTimer()
				// Of both sides; unlike the wall's time it bears other work on the machine.
				spent := processorTime(b) - before
				b.ReportMetric(float64(spent.Nanoseconds())/1000/float64(b.N)/streams, "cpu-µs/push")
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/streams, "µs/push")
				cancel()
				running.Wait()
				anys.Clear()
			})
		}
	}
}

func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rawCodec leaves messages as they are: the clients' side shall cost as little as it can.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (rawCodec) Name() string                       { return "" }

func dialRaw(b *testing.B, address string) *grpc.ClientConn {
	b.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// receiveAll acknowledges what comes and says when every stream has it.
func receiveAll(s grpc.ClientStream, got *atomic.Int64, streams int64, all chan<- struct{}) {
	nonce := ""
	for {
		req, _ := proto.Marshal(&discovery.DiscoveryRequest{
			TypeUrl: EndpointType, ResponseNonce: nonce, ResourceNames: []string{"svc"},
		})
		if err := s.SendMsg(req); err != nil && err != io.EOF {
			return
		}
		var data []byte
		if err := s.RecvMsg(&data); err != nil {
			return
		}
		// The nonce is in the tail, behind the type URL.
		tail := string(data[max(0, len(data)-40):])
		if i := strings.LastIndex(tail, "ClusterLoadAssignment*"); i >= 0 {
			rest := tail[i+len("ClusterLoadAssignment*"):]
			nonce = rest[1 : 1+int(rest[0])]
		}
		if got.Add(1)%streams == 0 {
			all <- struct{}{}
		}
	}
}
