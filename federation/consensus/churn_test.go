package consensus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// change makes one random change of the members, if the leader lets it.
func (c *cluster) change(ctx context.Context, rnd *rand.Rand) (what string, err error) {
	m := c.members[rnd.IntN(len(c.members))]
	for _, l := range c.members {
		if l.cancel == nil || !l.node.IsLeader() {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		switch rnd.IntN(5) {
		case 0:
			return "add", l.node.AddReplica(ctx, Member{ID: m.id, Address: m.address})
		case 1, 2:
			return "promote", l.node.Promote(ctx, m.id)
		case 3:
			return "demote", l.node.Demote(ctx, m.id)
		default:
			return "remove", l.node.Remove(ctx, m.id)
		}
	}
	return "", ErrNotLeader
}

// Writes and reads stay linearizable while members come, vote and go, and are killed, cut off and lose what they did not
// sync on the way.
func TestLinearizableWhileMembersChange(t *testing.T) {
	c := newClusterOf(t, 5, 3, func(_ int, cfg *Config) {
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 200, 50, 200*time.Millisecond
	})
	c.leader()
	r := &recorder{c: c, begin: time.Now()}
	length := 5 * time.Second
	if testing.Short() {
		length = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var clients sync.WaitGroup
	for id := range 4 {
		clients.Go(func() { r.client(ctx, id) })
	}
	rnd := rand.New(rand.NewPCG(9, 9))
	changes, faults := map[string]int{}, 0
	for ctx.Err() == nil {
		for range 4 {
			time.Sleep(50 * time.Millisecond)
			if what, err := c.change(ctx, rnd); err == nil {
				changes[what]++
			}
		}
		victim := c.members[rnd.IntN(len(c.members))]
		faults++
		switch rnd.IntN(4) {
		case 0:
			c.links.isolate(victim.id)
			time.Sleep(time.Duration(200+rnd.IntN(300)) * time.Millisecond)
			c.change(ctx, rnd) // the others', or its own in vain
			c.links.set(nil)
		case 1:
			victim.fs.(*memFS).powerCut(rnd)
			c.stop(victim)
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
			r.alive.Lock()
			c.start(victim)
			r.alive.Unlock()
		}
	}
	clients.Wait()
	t.Logf("changes %v among %d faults", changes, faults)
	r.check()
	// All that are members come to hold the same, and to know the same members.
	l, index := c.put("end", "1")
	for _, s := range l.node.Members() {
		for _, m := range c.members {
			if m.id != s.ID {
				continue
			}
			if err := m.node.WaitApplied(timeout(t, 60*time.Second), index); err != nil {
				t.Fatal(err)
			}
			if got, want := fmt.Sprint(idsAt(m.node)), fmt.Sprint(idsAt(l.node)); got != want {
				t.Errorf("%s knows the members %s, the leader %s", m.id, got, want)
			}
			for k := range 4 {
				key := fmt.Sprint("k", k)
				if got, want := m.machine.get(key), l.machine.get(key); got != want {
					t.Errorf("%s holds %s=%q, the leader %q", m.id, key, got, want)
				}
			}
		}
	}
}

func idsAt(n *Node) (ids []string) {
	for _, m := range n.Members() {
		ids = append(ids, fmt.Sprint(m.ID, m.Voter))
	}
	return ids
}
