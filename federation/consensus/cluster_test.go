package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"pentad.dev/pentad/process/loopback"
)

// member is one node of a test's cluster, through all its lives.
type member struct {
	id, address string
	fs          FS
	dir         string
	adjust      func(*Config)

	node    *Node
	machine *registers
	cancel  context.CancelFunc
	ended   chan error
	fatal   chan error
}

// cluster is a set of nodes in one process that speak TLS over loopback.
type cluster struct {
	t       testing.TB
	ca      *authority
	links   *links
	members []*member
	voters  []Member
	id      string
	roster  map[string]string
	lives   sync.RWMutex // guards the members' nodes against who writes meanwhile
}

// nodes returns the nodes of all members as of now, also of those that are stopped.
func (c *cluster) nodes() (all []*Node) {
	c.lives.RLock()
	defer c.lives.RUnlock()
	for _, m := range c.members {
		if m.node != nil {
			all = append(all, m.node)
		}
	}
	return all
}

// newCluster makes n members and starts them. adjust changes the configuration of a member, in each of its lives.
func newCluster(t testing.TB, n int, adjust func(i int, c *Config)) *cluster {
	t.Helper()
	return newClusterOf(t, n, n, adjust)
}

// newClusterOf makes n members of which the first found the cluster. The others are enrolled and run, and wait to be
// added.
func newClusterOf(t testing.TB, n, founders int, adjust func(i int, c *Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, ca: newAuthority(t), links: &links{}}
	var listeners []net.Listener
	for i := range n {
		l := loopback.Listen(t, loopback.Address(t))
		m := &member{id: fmt.Sprintf("n%d", i+1), address: l.Addr().String(), fs: newMemFS(), dir: "data"}
		m.adjust = func(cfg *Config) {
			if adjust != nil {
				adjust(i, cfg)
			}
		}
		c.members = append(c.members, m)
		if i < founders {
			c.voters = append(c.voters, Member{ID: m.id, Address: m.address})
		}
		listeners = append(listeners, l)
	}
	t.Cleanup(func() {
		c.links.set(nil)
		for _, m := range c.members {
			c.stop(m)
		}
	})
	for i, m := range c.members {
		c.open(m, listeners[i])
	}
	c.found(c.members[:founders])
	for _, m := range c.members[founders:] {
		if err := m.node.Enroll(c.id, c.roster); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range c.members {
		c.run(m)
	}
	return c
}

// found enrolls and bootstraps the cluster of those members, whose folders are new.
func (c *cluster) found(members []*member) {
	c.t.Helper()
	c.id, c.roster = uuid.NewString(), map[string]string{}
	var founders []Member
	for _, m := range members {
		c.roster[m.id] = m.node.Folder().ID
		founders = append(founders, Member{ID: m.id, Address: m.address})
	}
	for _, m := range members {
		if err := m.node.Enroll(c.id, c.roster); err != nil {
			c.t.Fatal(err)
		}
		if err := m.node.Bootstrap(founders); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *cluster) start(m *member) {
	c.t.Helper()
	c.startOn(m, loopback.Listen(c.t, m.address))
}

func (c *cluster) config(m *member, l net.Listener) Config {
	server, client := c.ca.issue(c.t, m.id)
	cfg := Config{
		ID: m.id, Dir: m.dir, Listener: l, ServerTLS: server, ClientTLS: client, Voters: c.voters, Machine: newRegisters(),
		HeartbeatTimeout: 300 * time.Millisecond, SegmentSize: 256 << 10,
		DiskTimeout:   time.Minute, // a busy machine may stop anybody for seconds
		CertificateOf: commonName, FS: m.fs, Logger: testLogger(m.id), gate: memberGate{c.links, m.id},
	}
	fatal := make(chan error, 1)
	cfg.Fatal = func(err error) { fatal <- err }
	m.fatal = fatal
	m.adjust(&cfg)
	m.machine = cfg.Machine.(*registers)
	return cfg
}

func (c *cluster) startOn(m *member, l net.Listener) {
	c.t.Helper()
	c.open(m, l)
	c.run(m)
}

// open makes or opens a member's folder.
func (c *cluster) open(m *member, l net.Listener) {
	c.t.Helper()
	node, err := New(c.config(m, l))
	if err != nil {
		c.t.Fatalf("%s: %v", m.id, err)
	}
	c.lives.Lock()
	defer c.lives.Unlock()
	m.node = node
}

func (c *cluster) run(m *member) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	m.cancel, m.ended = cancel, ended
	node := m.node
	go func() { ended <- node.Run(ctx) }()
}

// stop ends a member's process, as far as the others can tell: its sockets close, its memory is gone.
func (c *cluster) stop(m *member) {
	if m.cancel == nil {
		return
	}
	m.cancel()
	select {
	case <-m.ended:
	case <-time.After(time.Minute):
		c.t.Errorf("%s did not stop", m.id)
	}
	m.cancel = nil
}

// leader waits until exactly one running member leads with a majority behind it, other than those excluded.
func (c *cluster) leader(not ...*member) *member {
	c.t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, m := range c.members {
			if m.cancel == nil || containsMember(not, m) || !m.node.IsLeader() {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err := m.node.ReadIndex(ctx)
			cancel()
			if err == nil {
				return m
			}
		}
	}
	c.t.Fatal("no leader")
	return nil
}

// handOver makes a member the leader; its state machine may be behind.
func (c *cluster) handOver(to *member) {
	c.t.Helper()
	eventually(c.t, to.id+" leads", func() bool {
		for _, m := range c.members {
			if m != to && m.cancel != nil && m.node.IsLeader() {
				m.node.TransferLeadership(timeout(c.t, 5*time.Second), to.id)
			}
		}
		return to.node.IsLeader()
	})
}

func containsMember(all []*member, m *member) bool {
	for _, x := range all {
		if x == m {
			return true
		}
	}
	return false
}

// others returns the members but those.
func (c *cluster) others(not ...*member) []*member {
	var all []*member
	for _, m := range c.members {
		if !containsMember(not, m) {
			all = append(all, m)
		}
	}
	return all
}

// put writes, and returns who led and the index. On a slow machine a leader may lose its office any time; the write is
// then made again, through the next.
func (c *cluster) put(key, value string, not ...*member) (leader *member, index uint64) {
	c.t.Helper()
	for range 20 {
		l := c.leader(not...)
		index, _, err := l.node.Propose(timeout(c.t, 10*time.Second), command{key, value}.encode())
		switch {
		case err == nil:
			return l, index
		case !errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrNoQuorum):
			c.t.Fatalf("%s: put %s=%s: %v", l.id, key, value, err)
		}
	}
	c.t.Fatalf("put %s=%s: no leader stays in office", key, value)
	return nil, 0
}

// limit is for how long a test waits for what must happen: nobody waits that long but in vain.
const limit = 2 * time.Minute

// eventually waits for a condition that must come true.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func timeout(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// testLogger shows nodes' logs when PENTAD_TEST_LOG is set.
func testLogger(id string) *slog.Logger {
	if os.Getenv("PENTAD_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", id)
}

// drop ends a cluster before its test does.
func (c *cluster) drop() {
	c.links.set(nil)
	for _, m := range c.members {
		c.stop(m)
	}
}
