// Package consensus replicates opaque commands over a set of voters with Raft. See DESIGN.md.
package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Node is one member of a cluster. Its methods may be called by anyone at any time, also before Run and after it.
type Node struct {
	cfg       Config
	log       *slog.Logger
	raftLog   hclog.Logger
	folder    *folder
	machine   *machine
	rounds    *rounds
	contacts  *contacts
	addresses *addresses
	standings standings
	trips     *trips
	refusals  refusals
	metrics   *metrics
	raft      atomic.Pointer[raft.Raft] // nil until Run has started it

	starting  lock          // held while raft is started or bootstrapped
	enrolling lock          // guards the folder's enrolment
	changing  chan struct{} // held by who changes the configuration; capacity 1
	handing   pending       // transfers
	proposing pending

	kick    chan struct{} // a read waits for a message to be sent; capacity 1
	changed atomic.Pointer[chan struct{}]

	dieOnce sync.Once
	dead    chan struct{} // closed when the node has to end itself
	died    error         // why; set before dead is closed
	stopped chan struct{} // closed when raft has stopped
	closed  sync.Once
}

// New takes the data folder and brings it in order, or makes one that is enrolled in no cluster. Run must be called, or
// Close.
func New(cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	cfg = cfg.withDefaults()
	n := &Node{cfg: cfg, log: cfg.Logger, raftLog: newLogger(cfg.Logger, "raft"), kick: make(chan struct{}, 1),
		changing: make(chan struct{}, 1), dead: make(chan struct{}), stopped: make(chan struct{}),
		addresses: newAddresses(cfg.Voters)}
	n.rounds, n.contacts, n.trips = newRounds(&n.cfg.break_), newContacts(), newTrips(&n.cfg.break_)
	n.machine = newMachine(cfg.Machine, n.die)
	changed := make(chan struct{})
	n.changed.Store(&changed)
	var err error
	if n.metrics, err = newMetrics(n, cfg.Metrics); err != nil {
		return nil, fmt.Errorf("consensus: metrics: %w", err)
	}
	n.machine.applying = n.metrics.applying
	d := &disk{FS: cfg.FS, die: n.die, timeout: cfg.DiskTimeout, synced: n.metrics.synced, plants: &n.cfg.break_}
	if n.folder, err = openFolder(&n.cfg, d, n.raftLog, makeOrOpen, nil); err != nil {
		n.metrics.unregister()
		return nil, fmt.Errorf("consensus: %w", err)
	}
	n.folder.store.overlap, n.folder.store.wrote = n.leadsOthers, n.metrics.wrote
	if cfg.BootstrapAlone {
		if err := n.bootstrapAlone(); err != nil {
			return nil, errors.Join(fmt.Errorf("consensus: %w", err), n.Close())
		}
	}
	return n, nil
}

// raftConfig is what raft is told.
func (n *Node) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.cfg.ID)
	c.HeartbeatTimeout = longer(n.cfg.HeartbeatTimeout)
	c.ElectionTimeout = max(n.cfg.ElectionTimeout, c.HeartbeatTimeout)
	c.LeaderLeaseTimeout = n.cfg.LeaderLease
	c.CommitTimeout = n.cfg.CommitTimeout
	c.SnapshotInterval = n.cfg.SnapshotInterval
	c.SnapshotThreshold = n.cfg.SnapshotThreshold
	c.TrailingLogs = n.cfg.TrailingLogs
	c.MaxAppendEntries = 128
	// Proposals that wait while a batch is written go into the next one together also without a buffer. With one, a
	// command could sit in it unseen when the leadership ends.
	c.BatchApplyCh = false
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.Logger = n.raftLog
	return c
}

// die ends the process: the node can no longer keep a promise.
func (n *Node) die(err error) {
	n.dieOnce.Do(func() {
		n.died = err
		close(n.dead)
		n.log.Error("the node ends itself", "error", err)
		n.cfg.Fatal(err)
	})
}

// Run takes part in the cluster until ctx ends, or until the node had to end itself, which is an error. It returns
// when everything has stopped and the folder is free. It is called once.
func (n *Node) Run(ctx context.Context) error {
	s := newStream(&n.cfg, n.parties(), n.refusals.called, n.raftLog)
	n.standings.watch(s.review)
	t := n.newTransport(s)
	// The network goes first: from there on nothing that this node does can reach anyone.
	cut := sync.OnceValue(func() error {
		err := errors.Join(t.Close(), s.Close())
		close(n.folder.store.stopped)
		return err
	})
	// Raft blocks when it reports a change of leadership, so the channel has room and is always drained.
	notify := make(chan bool, 64)
	c := n.raftConfig()
	c.NotifyCh = notify
	n.folder.store.running.Store(true)
	r, err := n.startRaft(c, t, cut)
	if err != nil {
		n.machine.done.fail(ErrStopped)
		return errors.Join(n.ownEnd(), fmt.Errorf("consensus: %w", err), cut(), n.Close())
	}

	running, stop := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { n.watchLeadership(running, r, notify) })
	tasks.Go(func() { n.triggerRounds(running, r) })
	tasks.Go(func() { n.watchSilence(running, r) })
	select {
	case <-ctx.Done():
	case <-n.dead:
	}
	err = errors.Join(cut(), n.stopRaft(r))
	close(n.stopped)
	n.rounds.end(math.MaxUint64)
	n.machine.done.fail(ErrStopped)
	stop()
	tasks.Wait()
	return errors.Join(n.ownEnd(), err, n.Close())
}

// ownEnd says why the node ended itself, if it did.
func (n *Node) ownEnd() error {
	select {
	case <-n.dead:
		return fmt.Errorf("consensus: the node ended itself: %w", n.died)
	default:
		return nil
	}
}

// startRaft starts raft on the folder. Raft panics where the log does not go on from the newest snapshot that it can
// read, because a newer one is damaged: no vote and no entry of this folder can be believed then. A disk that fails
// meanwhile cuts the network off, behind which raft is let go (see logStore.tooLate).
func (n *Node) startRaft(c *raft.Config, t raft.Transport, cut func() error) (r *raft.Raft, err error) {
	n.starting.Lock()
	defer n.starting.Unlock()
	started := make(chan struct{})
	defer close(started)
	go func() {
		select {
		case <-n.dead:
			_ = cut() // whoever runs the node hears it
		case <-started:
		}
	}()
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("%s: the log does not go on from the newest snapshot that can be read (%v): treat its disk as lost", n.cfg.Dir, p)
		}
	}()
	r, err = raft.NewRaft(c, n.machine, n.folder.log, n.folder.store, n.folder.snaps, t)
	if err == nil {
		n.raft.Store(r)
	}
	return r, err
}

// stopRaft waits for raft to stop, but not for a disk that hangs.
func (n *Node) stopRaft(r *raft.Raft) error {
	stopped := make(chan error, 1)
	go func() {
		n.endPending(r)
		err := r.Shutdown().Error()
		_ = n.folder.store.settle() // the node has ended itself if that failed
		stopped <- err
	}()
	select {
	case err := <-stopped:
		return err
	case <-n.dead:
	}
	select {
	case err := <-stopped:
		return err
	case <-time.After(time.Second):
		// The folder stays locked and its files open until then: what hangs may still write.
		n.closed.Do(func() {
			go func() {
				<-stopped
				n.metrics.unregister()
				_ = n.folder.close() // the node has ended itself
			}()
		})
		return errors.New("consensus: raft did not stop, a write to disk or the state machine hangs")
	}
}

// Close frees the folder of a node that was never run. After Run it does nothing.
func (n *Node) Close() (err error) {
	n.closed.Do(func() {
		n.metrics.unregister()
		err = n.folder.close()
	})
	return err
}

// otherVoters returns the voters besides this node, and how many of them make a majority together with it.
func (n *Node) otherVoters() (others []raft.ServerID, needed int) {
	r := n.raft.Load()
	if r == nil {
		return nil, 0
	}
	servers := r.GetConfiguration().Configuration().Servers
	if n.cfg.break_.countFormerVoters {
		servers = configurationOf(n.cfg.Voters).Servers
	}
	voters, self := 0, 0
	for _, s := range servers {
		switch {
		case s.Suffrage != raft.Voter:
			continue
		case s.ID == raft.ServerID(n.cfg.ID):
			self = 1
		default:
			others = append(others, s.ID)
		}
		voters++
	}
	return others, voters/2 + 1 - self
}

// serves says whether this node leads in that term and the other one is a member: raft then wants it to follow.
func (n *Node) serves(id raft.ServerID, term uint64) bool {
	r := n.raft.Load()
	if r == nil {
		return true // raft is about to be started; nobody leads yet
	}
	if r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	return slices.ContainsFunc(r.GetConfiguration().Configuration().Servers,
		func(s raft.Server) bool { return s.ID == id })
}

// voters returns the voters of the latest configuration that this node knows, none before raft runs.
func (n *Node) voters() (all []raft.ServerID) {
	r := n.raft.Load()
	if r == nil || n.cfg.break_.strangersGetNoVote {
		return nil
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			all = append(all, s.ID)
		}
	}
	return all
}
