package feed_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// A cluster has a thousand endpoints in ten services, each of which is a slice of a hundred, as a source makes them.
const (
	perCluster = 1000
	perSlice   = 100
	// subscribers hold no copy: they stand at the tail and count what comes.
	subscribers = 1000
)

// costs is what a number of endpoints costs; floors are what the machine takes for the same bytes in the same run.
type costs struct {
	memory, memoryFloor, encoded     float64 // bytes an endpoint
	ingest, catchUp, restart, spread cost
	catchUpFloor, restartFloor       cost
}

// cost is seconds by the wall and of the processor: on a machine that does other things, too, the second is what counts.
type cost struct{ wall, processor float64 }

func processor(b testing.TB) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// spent measures something.
func spent(b testing.TB, do func()) cost {
	b.Helper()
	began, used := time.Now(), processor(b)
	do()
	return cost{time.Since(began).Seconds(), processor(b) - used}
}

// BenchmarkScale is a server with a thousand clusters' feeds and what comes before it: memory, ingest from one agent a
// cluster, a new reader's catching up, the start from disk, and one changed endpoint's way from its agent over the
// server to a thousand subscribers, each with ten feeds open. "cpu" is processor time, by which growth is told: what
// costs as much an endpoint (a change, for the spread) as with a tenth of the endpoints has grown by 1. Floors are a
// plain map; the values copied over a bare connection; the files read and summed; a bare stream's frame to a thousand.
func BenchmarkScale(b *testing.B) {
	done := map[int]costs{}
	var floor cost
	for _, endpoints := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("%d endpoints", endpoints), func(b *testing.B) {
			c, ok := done[endpoints]
			if !ok {
				if c = measureScale(b, endpoints); floor.wall == 0 {
					floor = broadcast(b)
				}
				done[endpoints] = c
			}
			for range b.N { // what is measured is measured once
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(c.encoded, "encoded-B/endpoint")
			b.ReportMetric(c.memory, "B/endpoint")
			b.ReportMetric(c.memory/c.memoryFloor, "B/map")
			b.ReportMetric(c.ingest.wall, "ingest-s")
			b.ReportMetric(c.ingest.processor, "ingest-cpu-s")
			b.ReportMetric(c.catchUp.wall, "catchup-s")
			b.ReportMetric(c.catchUp.processor, "catchup-cpu-s")
			b.ReportMetric(c.catchUp.wall/c.catchUpFloor.wall, "catchup/copy")
			b.ReportMetric(c.restart.wall, "restart-s")
			b.ReportMetric(c.restart.wall/c.restartFloor.wall, "restart/read")
			b.ReportMetric(c.spread.wall*1000, "spread-ms")
			b.ReportMetric(c.spread.processor*1000, "spread-cpu-ms")
			b.ReportMetric(c.spread.wall/floor.wall, "spread/broadcast")
			b.ReportMetric(c.spread.processor/floor.processor, "spread/broadcast-cpu")
			if less, ok := done[endpoints/10]; ok {
				b.ReportMetric(c.memory/less.memory, "B-growth")
				b.ReportMetric(c.ingest.processor/less.ingest.processor/10, "ingest-growth")
				b.ReportMetric(c.catchUp.processor/less.catchUp.processor/10, "catchup-growth")
				b.ReportMetric(c.restart.processor/less.restart.processor/10, "restart-growth")
				b.ReportMetric(c.spread.processor/less.spread.processor, "spread-growth")
			}
		})
	}
}

// clusterFeed is a cluster's whole set as its agent encodes it.
func clusterFeed(b testing.TB, cluster int) (feed.ID, []feed.Change) {
	b.Helper()
	var whole []feed.Change
	for s := range perCluster / perSlice {
		name := fmt.Sprintf("service-%03d", s)
		whole = append(whole, feed.Change{
			Kind: model.KindEndpointSlice, Key: model.SliceKey(name, "1"), Value: sliceOf(b, cluster, s, name, 0),
		})
	}
	return model.FeedID(fmt.Sprintf("cluster-%04d", cluster), "vm"), whole
}

// sliceOf is a service's slice; of its first endpoint the weight is a variable.
func sliceOf(b testing.TB, cluster, s int, name string, weight uint32) []byte {
	b.Helper()
	slice := &modelpb.EndpointSlice{Service: name, PortNames: []string{"grpc", "http"}}
	for e := range perSlice {
		slice.Endpoints = append(slice.Endpoints, &modelpb.Endpoint{
			Address: fmt.Sprintf("10.%d.%d.%d", 16+cluster/250, cluster%250, s*25+e), Ports: []uint32{9000, 8080}, Weight: 100,
		})
	}
	slice.Endpoints[0].Weight = 1 + weight
	value, err := model.Encode(slice)
	if err != nil {
		b.Fatal(err)
	}
	return value
}

func heapInUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func measureScale(b *testing.B, endpoints int) costs {
	var c costs
	clusters := endpoints / perCluster
	start := heapInUse()
	plain := map[string][]byte{}
	for i := range clusters {
		id, whole := clusterFeed(b, i)
		for _, change := range whole {
			plain[string(id)+"/"+change.Kind+"/"+change.Key] = change.Value
			c.encoded += float64(len(change.Value)) / float64(endpoints)
		}
	}
	c.memoryFloor = (heapInUse() - start) / float64(endpoints)
	runtime.KeepAlive(plain)
	plain = nil

	dir := b.TempDir()
	start = heapInUse()
	set, err := feed.OpenSet(dir, feed.Options{})
	if err != nil {
		b.Fatal(err)
	}
	server := serveSet(b, set)
	c.ingest = ingest(b, set, server.address, clusters)
	c.memory = (heapInUse() - start) / float64(endpoints)
	c.catchUp = catchUp(b, set, server.address)
	c.catchUpFloor = copyOverLoopback(b, set)
	c.restart, c.restartFloor = restart(b, set, dir)
	c.spread = spread(b, set, server.address)
	server.stop()
	return c
}

type served struct {
	address string
	stop    func()
}

func serve(b testing.TB, service feedpb.FeedsServer) served {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	// On a machine that is busy with a thousand subscribers of its own, silence means nothing.
	patient := grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: time.Minute})
	server := grpc.NewServer(append(feed.ServerOptions(), patient)...)
	feedpb.RegisterFeedsServer(server, service)
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(listener) })
	return served{listener.Addr().String(), func() { server.Stop(); wg.Wait() }}
}

func serveSet(b testing.TB, set *feed.Set) served {
	b.Helper()
	allow := func(context.Context, feed.ID) error { return nil }
	service, err := feed.NewService(feed.ServiceConfig{
		Set: set, Authorize: allow, AuthorizeRead: allow, Heartbeat: benchHeartbeat,
	})
	if err != nil {
		b.Fatal(err)
	}
	return serve(b, service)
}

// await waits, at most five minutes, until a set says that something holds.
func await(b testing.TB, set *feed.Set, what string, holds func() bool) {
	b.Helper()
	watch := set.Watch()
	defer watch.Close()
	late := time.After(5 * time.Minute)
	for !holds() {
		select {
		case <-watch.C():
			watch.Changed()
		case <-late:
			b.Fatal("never: " + what)
		}
	}
}

// holder says whether a set holds as many feeds with their endpoints as there are clusters, by looking only at those
// that it has not seen complete.
func holder(set *feed.Set, clusters int) func() bool {
	complete := map[feed.ID]bool{}
	return func() bool {
		for _, id := range set.IDs() {
			if l, ok := set.Get(id); ok && !complete[id] && l.Len() == perCluster/perSlice {
				complete[id] = true
			}
		}
		return len(complete) == clusters
	}
}

// ingest is one agent a cluster that connects and publishes.
func ingest(b testing.TB, set *feed.Set, address string, clusters int) cost {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	var publishers []*feed.Publisher
	for i := range clusters {
		publishers = append(publishers, publisherOf(b, agentSet(b, i), address))
	}
	took := spent(b, func() {
		for _, p := range publishers {
			wg.Go(func() { p.Run(ctx) })
		}
		await(b, set, "all is ingested", holder(set, clusters))
	})
	cancel()
	wg.Wait()
	return took
}

func agentSet(b testing.TB, cluster int) *feed.Set {
	b.Helper()
	agent, err := feed.OpenSet("", feed.Options{})
	if err != nil {
		b.Fatal(err)
	}
	id, whole := clusterFeed(b, cluster)
	if _, err := agent.Log(id).Begin(feed.NextIncarnation(time.Now().UnixMilli(), 0, 0, 1), whole); err != nil {
		b.Fatal(err)
	}
	return agent
}

func publisherOf(b testing.TB, agent *feed.Set, address string) *feed.Publisher {
	b.Helper()
	p, err := feed.NewPublisher(feed.PublisherConfig{
		Heartbeat: benchHeartbeat,
		Set:       agent, One: []feed.Peer{{Name: "server", Address: address}}, OnAhead: func(id feed.ID, p feed.Position) {
			b.Errorf("%s: a reader is at %s", id, p)
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// catchUp is a reader that begins with nothing.
func catchUp(b testing.TB, set *feed.Set, address string) cost {
	b.Helper()
	copied, err := feed.OpenSet("", feed.Options{})
	if err != nil {
		b.Fatal(err)
	}
	f, err := feed.NewFollower(feed.FollowerConfig{Set: copied, Peers: []feed.Peer{{Name: "server", Address: address}}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	took := spent(b, func() {
		wg.Go(func() { f.Run(ctx) })
		await(b, copied, "the reader has caught up", holder(copied, len(set.IDs())))
	})
	cancel()
	wg.Wait()
	return took
}

// copyOverLoopback is the floor of a catch-up: the same values over a bare connection.
func copyOverLoopback(b testing.TB, set *feed.Set) cost {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		for _, id := range set.IDs() {
			l, _ := set.Get(id)
			for r := range l.All() {
				conn.Write(r.Value)
			}
		}
	})
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	return spent(b, func() {
		if _, err := io.Copy(io.Discard, conn); err != nil {
			b.Fatal(err)
		}
	})
}

// restart saves everything and opens it again; the floor reads the files and sums them.
func restart(b testing.TB, set *feed.Set, dir string) (took, floor cost) {
	b.Helper()
	for _, id := range set.IDs() {
		if err := set.Save(id); err != nil {
			b.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.feed"))
	if err != nil || len(names) != len(set.IDs()) {
		b.Fatal(err, len(names))
	}
	var sum uint64
	floor = spent(b, func() {
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			sum += xxhash.Sum64(data)
		}
	})
	runtime.KeepAlive(sum)
	runtime.GC()
	var again *feed.Set
	took = spent(b, func() { again, err = feed.OpenSet(dir, feed.Options{}) })
	if err != nil {
		b.Fatal(err)
	}
	if len(again.IDs()) != len(names) {
		b.Fatal(len(again.IDs()))
	}
	return took, floor
}

const (
	rounds         = 15
	benchHeartbeat = 5 * time.Second
)

// spread is one changed endpoint's way from its agent over the server to every subscriber.
func spread(b testing.TB, set *feed.Set, address string) cost {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer func() { cancel(); wg.Wait() }()
	id, _ := clusterFeed(b, 0)
	agent := agentSet(b, 0)
	publisher := publisherOf(b, agent, address)
	wg.Go(func() { publisher.Run(ctx) })
	l, _ := agent.Get(id)
	at, _ := set.Get(id)
	await(b, set, "the agent is back", func() bool { return at.Position() == l.Position() })
	var opens []*feedpb.ReceiverMessage
	changed := uint64(0)
	for i, id := range set.IDs()[:10] {
		l, _ := set.Get(id)
		if l == at {
			changed = uint64(i + 1)
		}
		pos := &feedpb.Position{Incarnation: l.Position().Incarnation, Seq: l.Position().Seq}
		opens = append(opens, &feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Open{Open: &feedpb.Open{
			Stream: uint64(i + 1), Feed: string(id), Held: pos, Highest: pos,
		}}})
	}
	arrived := make(chan uint64, subscribers)
	failed := subscribe(b, ctx, &wg, address, opens, func(f *feedpb.Frame) *feedpb.ReceiverMessage {
		if f.GetStream() != changed || f.GetReset_() {
			b.Errorf("a frame of sub-stream %d, reset %t", f.GetStream(), f.GetReset_())
		}
		arrived <- f.GetTo().GetSeq()
		return &feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Ack{Ack: &feedpb.Ack{
			Stream: f.GetStream(), Held: f.GetTo(), Highest: f.GetTo(), Frames: f.GetTo().GetSeq() - 1,
		}}}
	})
	return timed(b, func(round int) {
		name := "service-003"
		pos, err := l.Commit(feed.Change{
			Kind: model.KindEndpointSlice, Key: model.SliceKey(name, "1"), Value: sliceOf(b, 0, 3, name, uint32(round+1)),
		})
		if err != nil {
			b.Fatal(err)
		}
		for range subscribers {
			select {
			case seq := <-arrived:
				if seq != pos.Seq {
					b.Fatalf("position %d arrived, %d was sent", seq, pos.Seq)
				}
			case err := <-failed:
				b.Fatal(err)
			}
		}
	})
}

// timed is the median of rounds by the wall, and the processor's mean.
func timed(b testing.TB, do func(round int)) (c cost) {
	b.Helper()
	var took []float64
	for round := range rounds {
		one := spent(b, func() { do(round) })
		took = append(took, one.wall)
		c.processor += one.processor / rounds
	}
	slices.Sort(took)
	c.wall = took[len(took)/2]
	return c
}

// subscribe opens a connection and a stream for each subscriber and returns when the server has answered all.
func subscribe(
	b testing.TB, ctx context.Context, wg *sync.WaitGroup, address string, opens []*feedpb.ReceiverMessage,
	take func(*feedpb.Frame) *feedpb.ReceiverMessage,
) (failed chan error) {
	b.Helper()
	failed = make(chan error, subscribers)
	var ready sync.WaitGroup
	slots := make(chan struct{}, 32)
	for range subscribers {
		ready.Add(1)
		is := sync.OnceFunc(ready.Done)
		wg.Go(func() {
			defer is()
			conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			slots <- struct{}{}
			stream, err := feedpb.NewFeedsClient(conn).Subscribe(ctx)
			if err != nil {
				b.Error(err)
				return
			}
			for _, open := range opens {
				stream.Send(open)
			}
			<-slots
			for {
				m, err := stream.Recv()
				if err != nil {
					if ctx.Err() == nil {
						failed <- err
					}
					return
				}
				if m.GetProgresses() != nil || len(opens) == 0 { // the opens were handled
					is()
				}
				if m.GetFrame() == nil && len(opens) > 0 {
					stream.Send(&feedpb.ReceiverMessage{}) // a sign of life for each
				}
				if f := m.GetFrame(); f != nil {
					if answer := take(f); answer != nil {
						stream.Send(answer)
					}
				}
			}
		})
	}
	ready.Wait()
	return failed
}

// broadcaster is the floor of the spread: bare streams of the same gRPC that get the same frame.
type broadcaster struct {
	feedpb.UnimplementedFeedsServer
	mu      sync.Mutex
	streams []chan *feedpb.SenderMessage
}

func (s *broadcaster) Subscribe(stream grpc.BidiStreamingServer[feedpb.ReceiverMessage, feedpb.SenderMessage]) error {
	c := make(chan *feedpb.SenderMessage, 1)
	c <- &feedpb.SenderMessage{}
	s.mu.Lock()
	s.streams = append(s.streams, c)
	s.mu.Unlock()
	go func() {
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case m := <-c:
			if err := stream.Send(m); err != nil {
				return err
			}
		}
	}
}

func broadcast(b testing.TB) cost {
	b.Helper()
	s := &broadcaster{}
	server := serve(b, s)
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer func() { cancel(); wg.Wait(); server.stop() }()
	arrived := make(chan bool, subscribers)
	failed := subscribe(b, ctx, &wg, server.address, nil, func(f *feedpb.Frame) *feedpb.ReceiverMessage {
		arrived <- true
		return &feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Ack{Ack: &feedpb.Ack{Stream: 1, Held: f.GetTo()}}}
	})
	return timed(b, func(round int) {
		pos := &feedpb.Position{Incarnation: 1 << 60, Seq: uint64(round)}
		m := &feedpb.SenderMessage{Message: &feedpb.SenderMessage_Frame{Frame: &feedpb.Frame{
			Stream: 1, From: pos, To: pos, Commit: true, Records: []*feedpb.Record{{
				Kind: model.KindEndpointSlice, Key: "service-003/1", At: pos,
				Value: sliceOf(b, 0, 3, "service-003", uint32(round+1)),
			}},
		}}}
		_ = proto.Size(m)
		for _, c := range s.streams {
			c <- m
		}
		for range subscribers {
			select {
			case <-arrived:
			case err := <-failed:
				b.Fatal(err)
			}
		}
	})
}
