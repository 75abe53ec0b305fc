package consensus

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestLeadershipIsHandedOverBeforeAStop(t *testing.T) {
	c := newCluster(t, 5, nil)
	l, _ := c.put("k", "0")
	dead := c.others(l)[:2] // the heir must be one of the living
	for _, m := range dead {
		c.stop(m)
	}
	for i := range 3 {
		var term uint64
		if err := c.atLeader(func(_ context.Context, n *Node) error {
			_, _, term = n.Leader()
			err := n.TransferLeadership(timeout(t, time.Minute), "")
			if _, _, now := n.Leader(); err == nil && n.IsLeader() && now == term {
				t.Error("it returned, and the node still leads")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		next, _ := c.put("k", fmt.Sprint(i, " again"))
		if containsMember(dead, next) {
			t.Errorf("%s leads, and is stopped", next.id)
		}
		if _, _, now := next.node.Leader(); now <= term {
			t.Errorf("term %d after %d", now, term)
		}
	}
}

func TestAnUnfinishedTransferEndsWithItsNode(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.atLeader(func(_ context.Context, n *Node) error {
		n.handing.end() // as when the node stops: raft takes no transfer any more, and still says that it leads
		return n.TransferLeadership(ctx, "")
	}); !errors.Is(err, ErrStopped) || ctx.Err() != nil {
		t.Errorf("a transfer by a node that stops: %v, want %v before its context ends (%v)", err, ErrStopped, ctx.Err())
	}
}
