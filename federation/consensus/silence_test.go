package consensus

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

func TestTurnsOfVotersDoNotMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		voters := []raft.ServerID{"e", "c", "a", "d", "b"}[:rapid.IntRange(1, 5).Draw(t, "voters")]
		term := rapid.Uint64Max(1<<62).Draw(t, "term")
		const spread = time.Second
		share := spread / time.Duration(len(voters))
		first := raft.ServerID("")
		var turns []time.Duration
		for _, v := range voters {
			turn := turnOf(append([]raft.ServerID(nil), voters...), v, term, spread, rapid.Float64Range(0, 1).Draw(t, "random"))
			if turn < 0 || turn > spread {
				t.Fatalf("the turn of %s is after %v", v, turn)
			}
			if turn <= share/2 {
				first = v
			}
			for _, other := range turns {
				if apart := (turn - other).Abs(); apart < share/2-time.Microsecond {
					t.Fatalf("two turns are %v apart, their shares are %v", apart, share)
				}
			}
			turns = append(turns, turn)
		}
		if first == "" {
			t.Fatal("nobody is first")
		}
		if again := turnOf(append([]raft.ServerID(nil), voters...), first, term+1, spread, 0); again == 0 && len(voters) > 1 {
			t.Fatalf("%s is first in two terms running", first)
		}
	})
}

func TestADeadLeaderIsNoticedWithoutRaftsTimer(t *testing.T) {
	c := newCluster(t, 3, nil)
	l, _ := c.put("x", "7")
	follower := c.others(l)[0]
	// Raft's timer alone may take three heartbeat timeouts; what is asked here is only that standing is tried at all,
	// and that it does no harm to a term: a voter that is cut off asks before it votes.
	r := follower.node.raft.Load()
	var asked atomic.Int64
	c.links.set(func(from, to string, req any, _ bool) error {
		if _, asks := req.(*raft.RequestPreVoteRequest); asks && from == follower.id {
			asked.Add(1)
		}
		if from == follower.id || to == follower.id {
			return errCut
		}
		return nil
	})
	eventually(t, "it stands for election", func() bool { return r.State() == raft.Candidate && asked.Load() > 0 })
	term := r.CurrentTerm() // nothing is on its way any more
	asked.Store(0)
	eventually(t, "it stands again", func() bool { return asked.Load() > 4 })
	if got := r.CurrentTerm(); got != term {
		t.Errorf("term %d became %d without a majority", term, got)
	}
	eventually(t, "the heartbeat timeout is what it was", func() bool { // standNow may be at it
		return r.ReloadableConfig().HeartbeatTimeout == longer(follower.node.cfg.HeartbeatTimeout)
	})
	c.links.set(nil)
	c.put("x", "8")
}
