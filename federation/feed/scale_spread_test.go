package feed_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/federation/model"
)

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
