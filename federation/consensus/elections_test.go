package consensus

import (
	"errors"
	"time"
)

// On a busy machine a leader may lose its office any time. Here is what tests do so that it makes no difference.

// patience is how long a scenario waits: kept while every rule is, broken while one is not. Of what never happens in one
// of the two the wait is short there, and generous in the other one.
func (p plants) patience(kept, broken time.Duration) time.Duration {
	if p == (plants{}) {
		return kept
	}
	return broken
}

// whileItFollows calls check at a time during which m follows that leader from beginning to end.
func (c *cluster) whileItFollows(m *member, check func(leader *member) error) {
	c.t.Helper()
	var err error
	eventually(c.t, m.id+" follows for a while", func() bool {
		l := c.leader()
		if l == m {
			m.node.TransferLeadership(timeout(c.t, 10*time.Second), "")
			return false
		}
		before := m.node.Status()
		if before.State != "follower" || before.Leader != l.id {
			return false
		}
		err = check(l)
		after := m.node.Status()
		return after.State == before.State && after.Leader == before.Leader && after.Term == before.Term
	})
	if err != nil {
		c.t.Error(err)
	}
}

// putElsewhere writes at another leader than m, which takes part: should it lead, it hands over.
func (c *cluster) putElsewhere(m *member, key, value string) (leader *member, index uint64) {
	c.t.Helper()
	eventually(c.t, "a write at another leader than "+m.id, func() bool {
		for _, l := range c.members {
			if l.cancel == nil || !l.node.IsLeader() {
				continue
			}
			if l == m {
				l.node.TransferLeadership(timeout(c.t, 10*time.Second), "")
				continue
			}
			i, _, err := l.node.Propose(timeout(c.t, 10*time.Second), command{key, value}.encode())
			switch {
			case err == nil:
				leader, index = l, i
				return true
			case !errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrNoQuorum):
				c.t.Fatalf("%s: put %s=%s: %v", l.id, key, value, err)
			}
		}
		return false
	})
	return leader, index
}
