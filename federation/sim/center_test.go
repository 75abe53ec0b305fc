package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/server"
)

// center is a federation server through all its lives.
type center struct {
	*estate
	name       string
	config     server.Config
	disk       *disk
	id, raftID *identity.Source
	rnd        *rand.Rand // of what power cuts leave; one life at a time uses it

	mu       sync.Mutex
	lives    int
	life     *life
	starting bool
	barred   bool // an operator has it in hand: nobody else starts it
	join     *server.Join
	// mayEnd says that it may be told that it is no server of the estate.
	mayEnd atomic.Bool
}

// life is one process of a server.
type life struct {
	*center
	number   int
	core     *server.Core
	endpoint *endpoint
	cancel   context.CancelFunc
	over     chan struct{}
	// gone says that it was ended, or ends itself for its disk.
	gone atomic.Bool
	err  error // what it ended with, once it is over
}

const (
	// idleCommit is how late a follower learns of a commit when nothing is written. A server's default of 5 ms would be
	// most of what an idle estate does.
	idleCommit = 100 * time.Millisecond
	// snapshots are taken often, so that who comes back needs one.
	snapshotEvery     = 20 * time.Second
	snapshotEntries   = 120
	entriesLeft       = 40
	segmentSize       = 64 << 10
	restartsAfter     = 300 * time.Millisecond
	processEndsWithin = 30 * time.Second
)

// present is the life of now, nil between two.
func (s *center) present() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// start begins a life, unless there is one.
func (s *center) start() {
	s.mu.Lock()
	if s.life != nil || s.starting || s.barred {
		s.mu.Unlock()
		return
	}
	s.starting = true
	s.lives++
	s.mu.Unlock()
	l := s.begin()
	for l == nil && !s.stopped() && !s.inHand() {
		time.Sleep(restartsAfter)
		l = s.begin()
	}
	s.mu.Lock()
	s.life, s.starting = l, false
	s.mu.Unlock()
	if l != nil && (s.stopped() || s.inHand()) {
		l.end(false)
	}
}

func (s *center) inHand() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.barred
}

// bar ends the present life, and has nobody but an operator begin another one.
func (s *center) bar(silently bool) {
	s.mu.Lock()
	s.barred = true
	s.mu.Unlock()
	s.mayEnd.Store(true)
	s.kill(silently)
	for starting := true; starting; {
		time.Sleep(time.Millisecond)
		s.mu.Lock()
		starting = s.starting || s.life != nil
		s.mu.Unlock()
	}
}

// unbar begins a life again, which joins if join is not nil.
func (s *center) unbar(join *server.Join) {
	s.mu.Lock()
	s.barred, s.join = false, join
	s.mu.Unlock()
	s.start()
}

// begin starts the process, if its disk lets it. No lock is held: it waits for the disk.
func (s *center) begin() *life {
	l := &life{center: s, number: s.lives, endpoint: s.net.endpoint(s.name), over: make(chan struct{})}
	config := s.configuration()
	feeds := s.disk.feeds()
	env := server.Environment{
		Raft: l.endpoint.listen(config.Listen.Raft), GRPC: l.endpoint.listen(config.Listen.GRPC), FS: s.disk,
		Dial:     l.endpoint.dial,
		Identity: s.id, RaftIdentity: s.raftID,
		Metrics: prometheus.NewRegistry(), Fatal: l.crash,
		Adjust: server.Adjust{Feeds: func(o *feed.Options) { feedOptions(o); o.FS = feeds }, Consensus: func(c *consensus.Config) {
			c.CommitTimeout, c.SegmentSize = idleCommit, segmentSize
			c.SnapshotInterval, c.SnapshotThreshold, c.TrailingLogs = snapshotEvery, snapshotEntries, entriesLeft
			c.BootstrapAlone = c.BootstrapAlone || s.plant.diskLost
			c.Machine = watched{c.Machine, l}
			c.Observer = l
		}},
	}
	if s.plant.adjust != nil {
		s.plant.adjust(&env.Adjust)
	}
	core, err := server.NewCore(config, env, s.log.With("server", s.name))
	if err != nil {
		l.endpoint.kill(false)
		s.disk.powerCut(s.rnd)
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, errBadDisk) && !errors.Is(err, errPowerCut) {
			s.oracle.violated("%s does not start: %v", s.name, err)
		}
		s.oracle.count("did not start for its disk")
		return nil
	}
	l.core = core
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() {
		defer close(l.over)
		var following sync.WaitGroup
		following.Go(func() { l.oracle.feeds.follow(ctx, l.name, core.Feeds()) })
		if l.err = core.Run(ctx); l.err != nil {
			s.log.Info("simulation: the server ended", "server", s.name, "error", l.err)
			if !l.gone.Load() && !(s.mayEnd.Load() && refusal(l.err)) && !errors.Is(l.err, syscall.ENOSPC) && !errors.Is(l.err, errBadDisk) && !errors.Is(l.err, errPowerCut) {
				s.oracle.violated("%s ended: %v", s.name, l.err)
			}
		}
		cancel()
		following.Wait()
	}()
	return l
}

// configuration is the server's, as it is now.
func (s *center) configuration() server.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	config := s.config
	config.DataDir, config.Join = "data", s.join
	return config
}

// endedItself counts crashes.
const endedItself = "ended itself"

// crash is what the process does when its disk has failed: it ends, and is started again once the disk is well.
func (l *life) crash(err error) {
	l.gone.Store(true)
	go func() {
		l.log.Warn("simulation: the process ended itself", "server", l.name, "error", err)
		l.oracle.count(endedItself)
		if !l.end(false) {
			return
		}
		for hung := true; hung; {
			time.Sleep(restartsAfter)
			l.disk.set(func(d *disk) { hung = d.hung != nil || d.fails })
		}
		l.center.start()
	}()
}

// kill ends the present life, if there is one, and returns when nothing of it is left.
func (s *center) kill(silently bool) {
	if l := s.present(); l != nil {
		l.end(silently)
	}
}

// end is the end of a life. It says whether it was this call that ended it.
func (l *life) end(silently bool) bool {
	l.mu.Lock()
	mine := l.life == l
	if mine {
		l.life = nil
	}
	l.mu.Unlock()
	if !mine {
		return false
	}
	l.gone.Store(true)
	l.endpoint.kill(silently)
	l.disk.powerCut(l.rnd)
	if l.plant.diskLost {
		l.disk.wipe()
	}
	l.cancel()
	select {
	case <-l.over:
	case <-time.After(processEndsWithin):
		l.oracle.violated("%s does not end within %s", l.name, processEndsWithin)
		<-l.over
	}
	return true
}

var _ net.Conn = (*conn)(nil)
