package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"pentad.dev/pentad/unitization/permit"
)

// eachMessage is rule 7 on a stream: a message after the freeze is refused, though the stream began before; and a
// stream that nothing comes over holds up no freeze.
func eachMessage(t testing.TB, broken breakage) error {
	r := newRelay(t, permit.Longest, users(3, nil))
	w := newWorkload(t, func(c *Config) { c.broken = broken }, r)
	defer w.stop()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(context.Background(), HeaderShard, "7"))
	defer cancel()
	s, err := w.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, watch)
	if err != nil {
		return err
	}
	echo := func() error {
		if err := s.SendMsg(wrapperspb.String("m")); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return s.RecvMsg(&wrapperspb.StringValue{})
	}
	if err := echo(); err != nil {
		return fmt.Errorf("before the freeze: %w", err)
	}
	r.tell(users(4, frozen))
	if broken == 0 {
		eventually(t, "the idle stream lets the freeze close", func() bool { return r.heardClosed(4) })
	} else {
		eventually(t, "the guard knows of the freeze", func() bool { return refusedFor(t, w.call(write, "7")) == Frozen })
	}
	err = echo()
	if refusal, ok := RefusalOf(err); !ok || refusal.Reason != Frozen {
		return fmt.Errorf("a message after the freeze: %v, want FROZEN", err)
	}
	return nil
}

func TestEachMessageOfAStreamIsChecked(t *testing.T) {
	if err := eachMessage(t, 0); err != nil {
		t.Error(err)
	}
}

func TestMessageInHandIsInFlight(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, nil))
	w := newWorkload(t, nil, r)
	inside, leave := make(chan struct{}), make(chan struct{})
	w.mu.Lock()
	w.streaming = func(context.Context, string) error { close(inside); <-leave; return nil }
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(context.Background(), HeaderShard, "7"))
	defer cancel()
	s, err := w.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, watch)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(wrapperspb.String("m")); err != nil {
		t.Fatal(err)
	}
	<-inside
	r.tell(users(4, frozen))
	eventually(t, "the guard refuses", func() bool { return refusedFor(t, w.call(write, "8")) == Frozen })
	time.Sleep(20 * time.Millisecond)
	if r.heardClosed(4) {
		t.Error("the freeze was named closed with a message in hand")
	}
	close(leave)
	eventually(t, "the freeze is closed", func() bool { return r.heardClosed(4) })
}
