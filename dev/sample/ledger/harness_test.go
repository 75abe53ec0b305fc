package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/process/loopback"
	"pentad.dev/pentad/unitization/fence/webhook"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

const (
	simStore = "orders"
	// holds is how long a permit holds in these tests.
	holds = time.Second
	// soon bounds every wait: the machine may be busy.
	soon = time.Minute
)

// estate is three members over loopback, each with an agent that grants what the test says.
type estate struct {
	t       testing.TB
	dir     string
	members map[string]*running
	epoch   uint64

	mu      sync.Mutex
	permits *permitpb.StorePermit
	stopped chan struct{}
}

type running struct {
	name    string
	address string
	orders  string
	agent   stream.Peer
	hop     *permit.Hop
	driver  *webhook.Driver
	member  *Member
	cancel  context.CancelFunc
	done    chan error
	// cut is set while nothing gets from or to the member, but its agent's orders.
	cut   atomic.Bool
	conns sync.Map
}

func newEstate(t testing.TB) *estate {
	e := &estate{
		t: t, dir: t.TempDir(), members: map[string]*running{}, epoch: 10, stopped: make(chan struct{}),
		permits: &permitpb.StorePermit{Store: simStore, Primary: "hz"},
	}
	for _, name := range simNames {
		r := &running{name: name, address: loopback.Address(t), orders: loopback.Address(t)}
		e.serveAgent(r)
		driver, err := webhook.New(webhook.Config{URL: "http://" + r.orders})
		check(t, err)
		r.driver = driver
		e.members[name] = r
	}
	for _, name := range simNames {
		e.start(name)
	}
	go e.renew()
	t.Cleanup(func() {
		close(e.stopped)
		for name := range e.members {
			e.stop(name)
		}
	})
	return e
}

func (e *estate) peers(but string) (peers []Peer) {
	for _, name := range simNames {
		if name != but {
			peers = append(peers, Peer{Member: name, Address: e.members[name].address})
		}
	}
	return peers
}

func (e *estate) start(name string) {
	e.t.Helper()
	r := e.members[name]
	var err error
	r.member, err = New(Config{
		Store: simStore, Member: name, Dir: filepath.Join(e.dir, name), Listener: loopback.Listen(e.t, r.address),
		WebhookListener: loopback.Listen(e.t, r.orders), Peers: e.peers(name), Agents: []stream.Peer{r.agent}, Dial: e.dialer(r),
	})
	check(e.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan error, 1)
	go func(m *Member, done chan<- error) { done <- m.Run(ctx) }(r.member, r.done)
}

func (e *estate) stop(name string) {
	r := e.members[name]
	if r.cancel == nil {
		return
	}
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil && !errors.Is(err, errKilled) {
			e.t.Errorf("member %s: %v", name, err)
		}
	case <-time.After(soon):
		e.t.Errorf("member %s does not stop", name)
	}
	r.cancel = nil
}

var errKilled = errors.New("killed")

// kill leaves a member as it is, in the middle of whatever it does: it writes and says nothing more.
func (e *estate) kill(name string) {
	m := e.members[name].member
	m.mu.Lock()
	m.dead = errKilled
	close(m.death)
	m.mu.Unlock()
	e.stop(name)
}

// dialer cuts a member off: its connections, and those to it, end, and new ones fail.
func (e *estate) dialer(r *running) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		if address == r.agent.Address {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
		if e.between(r, address) {
			return nil, errors.New("the network is cut")
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		r.conns.Store(conn, address)
		if e.between(r, address) { // since a moment: the cut may not have seen it
			conn.Close()
		}
		return conn, nil
	}
}

// between says whether a cut lies between a member and an address.
func (e *estate) between(r *running, address string) bool {
	for _, other := range e.members {
		if (other.address == address || other == r) && other.cut.Load() {
			return true
		}
	}
	return false
}

func (e *estate) cut(name string, cut bool) {
	gone := e.members[name]
	gone.cut.Store(cut)
	for _, r := range e.members {
		r.conns.Range(func(conn, address any) bool {
			if cut && (r == gone || address == gone.address) {
				conn.(net.Conn).Close()
			}
			return true
		})
	}
}

// writers write from as many goroutines until stop is called, which returns what was acknowledged.
func (e *estate) writers(n int) (acknowledged func() int, stop func() map[string]*ledgerpb.AppendResponse) {
	e.t.Helper()
	client, err := NewClient(ClientConfig{Store: simStore, Members: e.peers(""), Patience: soon})
	check(e.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var all sync.WaitGroup
	acked := map[string]*ledgerpb.AppendResponse{}
	for w := range n {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("w%d-%d", w, i)
				answer, err := client.Append(ctx, &ledgerpb.Write{
					Id: id, Shard: uint32(w), Key: "k", Since: everyEpoch, Payload: make([]byte, 100),
				})
				if err == nil {
					mu.Lock()
					acked[id] = answer
					mu.Unlock()
				}
			}
		})
	}
	acknowledged = func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acked)
	}
	return acknowledged, func() map[string]*ledgerpb.AppendResponse {
		cancel()
		all.Wait()
		client.Close()
		return acked
	}
}

func check(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %s", what, soon)
		}
	}
}
