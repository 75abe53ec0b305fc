package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
)

// readJoinsTrip has a read come to a follower while the leader's answer to an earlier one is on its way back, and a write
// acknowledged in between.
func readJoinsTrip(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) { cfg.break_ = p })
	defer c.drop()
	l, _ := c.put("x", "7")
	through := c.others(l)[0].node
	var asked atomic.Int64
	answered, release := make(chan error, 1), make(chan struct{})
	ask := func(ctx context.Context) (uint64, error) {
		first := asked.Add(1) == 1
		var index uint64
		err := c.atLeader(func(_ context.Context, n *Node) (err error) {
			index, err = n.ReadIndex(ctx)
			return err
		})
		if first {
			answered <- err
			<-release
		}
		return index, err
	}
	read := func() chan uint64 {
		index := make(chan uint64, 1)
		go func() {
			i, err := through.ReadThrough(timeout(t, 2*limit), l.id, ask)
			if err != nil {
				t.Errorf("a read through a follower: %v", err)
			}
			index <- i
		}()
		return index
	}
	first := read()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	_, written := c.put("x", "8")
	second := read()
	eventually(t, "the second read asks, or waits for the first one's answer", func() bool {
		return asked.Load() == 2 || through.trips.waitingFor(l.id) == 2
	})
	close(release)
	<-first
	if index := <-second; index != 0 && index < written {
		return fmt.Errorf("%w: a read began behind the write of entry %d and must see no more than entry %d", errStale, written, index)
	}
	return nil
}

// waitingFor is how many wait for the last trip that began.
func (s *trips) waitingFor(leader string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.to[leader]; r != nil && r.last != nil {
		return r.last.waiting
	}
	return 0
}

// nextWaits is how many wait for the trip that has not begun.
func (s *trips) nextWaits(leader string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.to[leader]; r != nil && r.next != nil {
		return r.next.waiting
	}
	return 0
}

// Reads that wait share one trip; one that failed is told to all of them.
func TestWaitingReadsShareATrip(t *testing.T) {
	n := &Node{trips: newTrips(&plants{})}
	release, asked := make(chan struct{}), make(chan struct{}, 100)
	broken := errors.New("broken")
	var turn atomic.Uint64
	ask := func(context.Context) (uint64, error) {
		mine := turn.Add(1)
		asked <- struct{}{}
		<-release
		if mine > tripsUnderWay {
			return 0, broken
		}
		return mine, nil
	}
	answers := make(chan error, 200)
	read := func() {
		index, err := n.ReadThrough(t.Context(), "n1", ask)
		if err == nil && (index == 0 || index > tripsUnderWay) {
			err = fmt.Errorf("answer %d", index)
		}
		answers <- err
	}
	for range tripsUnderWay {
		go read()
		<-asked
	}
	const waiting = 100
	for range waiting {
		go read()
	}
	eventually(t, "all others wait for one trip", func() bool { return n.trips.nextWaits("n1") == waiting })
	close(release)
	failed := 0
	for range tripsUnderWay + waiting {
		if err := <-answers; errors.Is(err, broken) {
			failed++
		} else if err != nil {
			t.Error(err)
		}
	}
	if got := turn.Load(); got != tripsUnderWay+1 || failed != waiting {
		t.Errorf("%d trips, want %d; %d heard that theirs failed, want %d", got, tripsUnderWay+1, failed, waiting)
	}
	eventually(t, "nothing is kept of a leader that nobody asks", func() bool {
		n.trips.mu.Lock()
		defer n.trips.mu.Unlock()
		return len(n.trips.to) == 0
	})
}

// A leader that does not answer holds up nobody for longer than each waits, and nobody who asks another one; a trip ends
// with the last who waits for it.
func TestALeaderThatDoesNotAnswer(t *testing.T) {
	n := &Node{trips: newTrips(&plants{})}
	var hanging atomic.Int64
	hang := func(ctx context.Context) (uint64, error) {
		hanging.Add(1)
		defer hanging.Add(-1)
		<-ctx.Done()
		return 0, ctx.Err()
	}
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 100)
	read := func() {
		_, err := n.ReadThrough(ctx, "n1", hang)
		ended <- err
	}
	const reads = tripsUnderWay + 10
	for range tripsUnderWay {
		before := hanging.Load()
		go read()
		eventually(t, "it asks", func() bool { return hanging.Load() > before })
	}
	for range reads - tripsUnderWay {
		go read()
	}
	eventually(t, "the others wait", func() bool { return n.trips.nextWaits("n1") == reads-tripsUnderWay })
	if got, err := n.ReadThrough(t.Context(), "n2", func(context.Context) (uint64, error) { return 9, nil }); err != nil || got != 9 {
		t.Errorf("another leader: %d, %v", got, err)
	}
	leave()
	for range reads {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
	}
	eventually(t, "no question is left", func() bool { return hanging.Load() == 0 })
	if got, err := n.ReadThrough(t.Context(), "n1", func(context.Context) (uint64, error) { return 7, nil }); err != nil || got != 7 {
		t.Errorf("it answers again: %d, %v", got, err)
	}
}
