package consensus

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// pending counts what raft was asked for and has not answered. Raft answers most of it when it stops, and never some of
// it: a transfer that its main loop has not taken yet, and a command that is committed and waits for the state machine.
// So raft is stopped behind those.
type pending struct {
	mu    sync.Mutex
	count int
	none  chan struct{} // closed when nothing is under way and nothing begins any more; nil before end
}

func (p *pending) begin() (begun bool, ended func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.none != nil {
		return false, nil
	}
	p.count++
	return true, p.done
}

func (p *pending) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count--; p.count == 0 && p.none != nil {
		close(p.none)
	}
}

// end lets nothing begin any more, and returns a channel that is closed when raft has answered everything.
func (p *pending) end() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.none == nil {
		p.none = make(chan struct{})
		if p.count == 0 {
			close(p.none)
		}
	}
	return p.none
}

// pendingPatience is how long raft has to answer before it is stopped all the same.
const pendingPatience = 2 * time.Second

// endPending lets nothing be asked of raft any more, and returns when it may be stopped.
func (n *Node) endPending(r *raft.Raft) {
	transfers, proposals := n.handing.end(), n.proposing.end()
	late := time.NewTimer(pendingPatience)
	defer late.Stop()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for transfers != nil || proposals != nil {
		select {
		case <-transfers:
			transfers = nil
		case <-proposals:
			proposals = nil
		case <-look.C:
			// What is not committed is answered when raft stops, and only a majority by itself commits any more.
			if _, needed := n.otherVoters(); needed > 0 && n.idle(r) {
				proposals = nil
			}
		case <-late.C:
			return
		case <-n.dead:
			return
		}
	}
}

// idle says whether the state machine has applied every command that is committed.
func (n *Node) idle(r *raft.Raft) bool {
	commit := r.CommitIndex()
	if r.AppliedIndex() < commit {
		return false
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := n.waitMachine(now, commit)
	return err == nil
}
