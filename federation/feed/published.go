package feed

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// published is a peer that is published to.
type published struct {
	peer Peer
	// rank is the place in the succession; -1: published to in any case.
	rank int

	mu     sync.Mutex
	status PeerStatus
	feeds  map[ID]*PeerFeed
}

// has says how far the peer is with one feed: whether it holds something of an incarnation.
func (p *published) has(id ID, incarnation uint64) place {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch f := p.feeds[id]; {
	case f != nil && f.Refused != "":
		return refuses
	case f != nil && f.Position.Incarnation == incarnation:
		return settled
	}
	return in
}

// connected notes the first message of a stream.
func (p *published) connected() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = !p.status.Connected
	if first {
		p.status.Connected, p.status.Active, p.status.Error, p.feeds = true, true, "", map[ID]*PeerFeed{}
	}
	return first
}

// ended notes why a stream ended; false: for the same reason as the last.
func (p *published) ended(err error) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	news = p.status.Connected
	p.status.Connected, p.status.Active, p.feeds = false, false, nil
	if err != nil {
		news = news || p.status.Error != err.Error()
		p.status.Error = err.Error()
	}
	return news
}

func (p *published) feed(id ID, change func(*PeerFeed)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.feeds == nil {
		return
	}
	f := p.feeds[id]
	if f == nil {
		f = &PeerFeed{ID: id, Home: true}
		p.feeds[id] = f
	}
	change(f)
}

func (p *published) snapshot() PeerStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.Name, s.Address = p.peer.Name, p.peer.Address
	for _, f := range p.feeds {
		s.Feeds = append(s.Feeds, *f)
	}
	slices.SortFunc(s.Feeds, func(a, b PeerFeed) int { return compareIDs(a.ID, b.ID) })
	return s
}

// awaitReady waits until the connection is there, making it if need be; the error is why it cannot be made.
func awaitReady(ctx context.Context, conn *grpc.ClientConn) error {
	for {
		state := conn.GetState()
		switch state {
		case connectivity.Ready:
			return ctx.Err()
		case connectivity.Idle:
			conn.Connect()
		case connectivity.TransientFailure:
			// Only a call says why.
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			_, err := feedpb.NewFeedsClient(conn).Publish(ctx)
			return cmp.Or(err, errLost)
		case connectivity.Shutdown:
			return errLost
		}
		if !conn.WaitForStateChange(ctx, state) {
			return ctx.Err()
		}
	}
}

// errLost is the error of a connection that broke before it was used.
var errLost = errors.New("connection lost")
