package guard

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/stream"
)

// caller is a Client whose calls go to workloads by the cell header, as routes would send them; without it to the
// first.
type caller struct {
	*Client
	workloads map[string]*workload
	usual     string

	mu     sync.Mutex
	events []Event
	sent   []metadata.MD
	// abort makes that many of the next attempts end at the route.
	abort int
}

func newCaller(t testing.TB, patience time.Duration, r *relay, usual string, workloads map[string]*workload) *caller {
	c := &caller{workloads: workloads, usual: usual}
	client, err := NewClient(ClientConfig{
		Relays: []stream.Peer{r.peer}, Service: "orders", Patience: patience, Observer: func(e Event) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.events = append(c.events, e)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Client = client
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("client: %v", err)
		}
	})
	return c
}

// route picks the workload of an attempt.
func (c *caller) route(ctx context.Context) (*workload, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	md, _ := metadata.FromOutgoingContext(ctx)
	c.sent = append(c.sent, md)
	if c.abort > 0 {
		c.abort--
		return nil, status.Error(codes.FailedPrecondition, abortOfGRPC)
	}
	if cell := md.Get(HeaderCell); len(cell) == 1 && c.workloads[cell[0]] != nil {
		return c.workloads[cell[0]], nil
	}
	return c.workloads[c.usual], nil
}

func (c *caller) call(ctx context.Context, method string, headers ...string) error {
	for i := 0; i < len(headers); i += 2 {
		ctx = metadata.AppendToOutgoingContext(ctx, headers[i], headers[i+1])
	}
	invoke := func(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
		w, err := c.route(ctx)
		if err != nil {
			return err
		}
		return w.conn.Invoke(ctx, method, req, reply, opts...)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	return c.UnaryClientInterceptor()(ctx, method, wrapperspb.String("x"), &wrapperspb.StringValue{}, nil, invoke)
}

func TestClientStampsTheShardOverTheCallersOwn(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, nil))
	c := newCaller(t, 0, r, ownCell, map[string]*workload{ownCell: newWorkload(t, nil, r)})
	err := c.call(context.Background(), write, "x-user-id", "2088000007", HeaderShard, "99", HeaderShard, "98",
		HeaderCell, "rz03.sh-a")
	if err != nil {
		t.Fatal(err)
	}
	if md := c.last(); !slices.Equal(md.Get(HeaderShard), []string{"7"}) || len(md.Get(HeaderCell)) > 0 ||
		!slices.Equal(md.Get("x-user-id"), []string{"2088000007"}) {
		t.Errorf("sent %v", md)
	}
	for _, wrong := range [][]string{{}, {"x-user-id", "7", "x-user-id", "7"}, {"x-user-id", "7,7"},
		{"x-user-id", "abc"}} {
		err := c.call(context.Background(), write, wrong...)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "x-user-id") {
			t.Errorf("key %q: %v", wrong, err)
		}
	}
	if err := c.call(context.Background(), read); err != nil {
		t.Errorf("a read without key: %v", err)
	}
	if s := c.Stats(); s.Calls != 2 || s.Refused != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestWrongCellIsReaddressedOnceAlsoWithoutPatience(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, moved))
	workloads := two(t, r)
	c := newCaller(t, 0, r, ownCell, workloads)
	if err := c.call(context.Background(), write, "x-user-id", "7"); err != nil {
		t.Fatal(err)
	}
	if workloads[ownCell].placed != 0 || workloads["rz01.sh-a"].placed != 1 {
		t.Errorf("placed %d and %d times", workloads[ownCell].placed, workloads["rz01.sh-a"].placed)
	}
	if s := c.Stats(); s != (Stats{Calls: 1, Refused: 1, Readdressed: 1}) {
		t.Errorf("stats %+v", s)
	}
	delete(c.workloads, "rz01.sh-a") // no route to it: the call comes here again
	if reason := refusedFor(t, c.call(context.Background(), write, "x-user-id", "7")); reason != WrongCell {
		t.Errorf("got %q", reason)
	}
	if s := c.Stats(); s != (Stats{Calls: 2, Refused: 3, Readdressed: 2, GivenUp: 1}) {
		t.Errorf("stats %+v", s)
	}
	want := []Kind{CallRefused, Readdressed, CallRefused, Readdressed, CallRefused, GivenUp}
	var got []Kind
	for _, e := range c.events {
		got = append(got, e.Kind)
	}
	if !slices.Equal(got, want) {
		t.Errorf("events %v", got)
	}
}

func TestPatienceOutlastsASwitchover(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, frozen))
	workloads := two(t, r)
	c := newCaller(t, patience, r, ownCell, workloads)
	var told time.Time
	go func() {
		for c.Stats().Retried < 2 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		told = time.Now()
		r.tell(users(4, moved))
	}()
	if err := c.call(context.Background(), write, "x-user-id", "7"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(told); took > patience/2 {
		t.Errorf("took %s after the freeze", took)
	}
	// The new owner's guard may hear of it after the old one's.
	if s := c.Stats(); s.Retried < 2 || s.Readdressed == 0 || s.GivenUp != 0 || s.Refused != s.Retried+s.Readdressed {
		t.Errorf("stats %+v", s)
	}
	if workloads["rz01.sh-a"].placed != 1 {
		t.Errorf("placed %d times", workloads["rz01.sh-a"].placed)
	}
}

func TestPatienceEnds(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, frozen))
	const little = 2 * pauseMost
	c := newCaller(t, little, r, ownCell, map[string]*workload{ownCell: newWorkload(t, nil, r)})
	begun := time.Now()
	if reason := refusedFor(t, c.call(context.Background(), write, "x-user-id", "7")); reason != Frozen {
		t.Errorf("got %q", reason)
	}
	if took := time.Since(begun); took < little-pauseMost {
		t.Errorf("gave up after %s, patience is %s", took, little)
	}
	if s := c.Stats(); s.GivenUp != 1 || s.Refused != s.Retried+1 || s.Retried > 40 {
		t.Errorf("stats %+v", s)
	}
	// An attempt may be slow; but one that has an answer in time is followed by another, and one that has not by none.
	var last Event
	for i, e := range c.events {
		switch at := e.At.Sub(begun); {
		case e.Kind == GivenUp && at < little-pauseMost:
			t.Errorf("gave up after %s, patience is %s", at, little)
		case e.Kind == Retried && last.At.Sub(c.events[0].At) > little:
			t.Errorf("event %d: tried again after %s at least, patience is %s", i, last.At.Sub(c.events[0].At), little)
		}
		last = e
	}
}

func TestAbortOfARouteIsTriedAgainAndAHandlersErrorIsNot(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, nil))
	w := newWorkload(t, nil, r)
	c := newCaller(t, patience, r, ownCell, map[string]*workload{ownCell: w})
	c.abort = 2
	if err := c.call(context.Background(), write, "x-user-id", "7"); err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); s != (Stats{Calls: 1, Refused: 2, Retried: 2}) {
		t.Errorf("stats %+v", s)
	}
	w.does(func(context.Context) error { return status.Error(codes.FailedPrecondition, "the cart is empty") })
	if err := c.call(context.Background(), write, "x-user-id", "7"); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("got %v", err)
	}
	if w.placed != 2 {
		t.Errorf("placed %d times, want 2: a handler's own error is no refusal", w.placed)
	}
}

func TestCallsWaitForTheFirstRules(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, nil))
	w := newWorkload(t, nil, r)
	late, err := NewClient(ClientConfig{Relays: []stream.Peer{r.peer}, Service: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{Client: late, workloads: map[string]*workload{ownCell: w}, usual: ownCell}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := c.call(ctx, write, "x-user-id", "7"); status.Code(err) != codes.DeadlineExceeded ||
		!strings.Contains(err.Error(), "no relay has told the rules yet") {
		t.Errorf("without rules: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() { late.takeRules(rules()) })
	if err := c.call(context.Background(), write, "x-user-id", "7"); err != nil {
		t.Errorf("with rules after 50 ms: %v", err)
	}
	plain, err := NewClient(ClientConfig{Relays: []stream.Peer{r.peer}, Service: "assets"})
	if err != nil {
		t.Fatal(err)
	}
	plain.takeRules(rules())
	c = &caller{Client: plain, workloads: c.workloads, usual: ownCell}
	if err := c.call(context.Background(), read); err != nil || len(c.last().Get(HeaderShard)) > 0 ||
		plain.Stats().Calls != 0 {
		t.Errorf("a service without units: %v, sent %v", err, c.last())
	}
}

func TestStreamIsStampedAndTriedAgainOnlyBeforeItIsThere(t *testing.T) {
	r := newRelay(t, permit.Longest, users(3, nil))
	w := newWorkload(t, nil, r)
	c := newCaller(t, patience, r, ownCell, map[string]*workload{ownCell: w})
	c.abort = 1
	open := func() grpc.ClientStream {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-user-id", "7")
		s, err := c.StreamClientInterceptor()(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, nil, watch,
			func(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string,
				_ ...grpc.CallOption) (grpc.ClientStream, error) {
				w, err := c.route(ctx)
				if err != nil {
					return nil, err
				}
				return w.conn.NewStream(ctx, desc, method)
			})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	if err := s.SendMsg(wrapperspb.String("m")); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&wrapperspb.StringValue{}); err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); s != (Stats{Calls: 1, Refused: 1, Retried: 1}) {
		t.Errorf("stats %+v", s)
	}
	r.tell(users(4, frozen))
	eventually(t, "frozen", func() bool { return refusedFor(t, w.call(write, "7")) == Frozen })
	s = open()
	if err := s.SendMsg(wrapperspb.String("m")); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if reason := refusedFor(t, s.RecvMsg(&wrapperspb.StringValue{})); reason != Frozen {
		t.Errorf("got %q", reason)
	}
	if s := c.Stats(); s != (Stats{Calls: 2, Refused: 2, Retried: 1, GivenUp: 1}) {
		t.Errorf("stats %+v", s)
	}
}
