package consensus

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// AppendEntriesPipeline implements raft.Transport.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	if err := t.enter(id, nil); err != nil {
		return nil, err
	}
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, transport: t, id: id, numbers: map[*raft.AppendEntriesRequest]uint64{},
		ready: make(chan raft.AppendFuture), room: make(chan struct{}, 1), closed: make(chan struct{})}
	p.done.Go(p.forward)
	return p, nil
}

// pipeline is raft's pipeline of AppendEntries to one voter, seen from the outside: raft decodes the answers itself, so
// they are looked at on their way to it.
type pipeline struct {
	raft.AppendPipeline
	transport *transport
	id        raft.ServerID

	mu      sync.Mutex
	numbers map[*raft.AppendEntriesRequest]uint64 // of the messages that are not answered yet
	fastest time.Duration                         // that a message took; 0: none was answered yet

	room chan struct{} // a message was answered; capacity 1

	ready  chan raft.AppendFuture
	once   sync.Once
	closed chan struct{}
	done   sync.WaitGroup
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture,
	error) {
	p.mu.Lock()
	p.numbers[req] = p.transport.rounds.stamp()
	p.mu.Unlock()
	if err := p.transport.enter(p.id, req); err != nil {
		return nil, err
	}
	f, err := p.AppendPipeline.AppendEntries(req, resp)
	if err == nil {
		p.pace()
	}
	return f, err
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.ready }

// forward hands answers on to raft. Behind one that makes raft give the pipeline up nobody takes any; they are taken
// all the same, for raft may be about to send, and waits until there is room in the pipeline.
func (p *pipeline) forward() {
	for over := false; ; {
		select {
		case f := <-p.AppendPipeline.Consumer():
			req := f.Request()
			p.mu.Lock()
			number := p.numbers[req]
			delete(p.numbers, req)
			p.took(time.Since(f.Start()))
			p.mu.Unlock()
			if err := p.transport.leave(p.id, req); err != nil {
				f = lostAnswer{f}
				p.transport.contacts.failed(p.id, req.Term)
			} else if f.Error() == nil {
				p.transport.answered(p.id, number, req, f.Response())
				if p.transport.synced(req, p.closed) != nil {
					f = lostAnswer{f} // the pipeline or the node ends
				}
			} else {
				p.transport.contacts.failed(p.id, req.Term)
			}
			if over {
				continue
			}
			over = !f.Response().Success
			select {
			case p.ready <- f:
			case <-p.closed:
				return
			}
		case <-p.closed:
			return
		}
	}
}

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	err := p.AppendPipeline.Close()
	p.once.Do(func() { close(p.closed) })
	p.done.Wait()
	return err
}
