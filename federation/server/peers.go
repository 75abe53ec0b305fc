package server

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/process"
)

// retryMost is the longest pause between two tries to reach a server: one that starts is found within it.
const retryMost = 300 * time.Millisecond

// peer is another server as this one reaches it.
type peer struct {
	Peer
	intent  intentpb.IntentClient
	members intentpb.MembershipClient
	conn    *grpc.ClientConn
}

// peers are the other servers: those of the configuration, until the replicated table says more.
type peers struct {
	connect func(address string) (*grpc.ClientConn, error)

	mu     sync.RWMutex
	byName map[string]*peer
	closed bool
}

// get is another server; nil: none has that name.
func (p *peers) get(name string) *peer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.byName[name]
}

// all are the other servers, by name.
func (p *peers) all() []*peer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var all []*peer
	for _, name := range slices.Sorted(maps.Keys(p.byName)) {
		all = append(all, p.byName[name])
	}
	return all
}

// set keeps the connections to servers that are where they were, and opens and closes others.
func (p *peers) set(want []Peer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	next := map[string]*peer{}
	for _, w := range want {
		if have := p.byName[w.Name]; have != nil && have.GRPC == w.GRPC {
			next[w.Name] = &peer{Peer: w, conn: have.conn, intent: have.intent, members: have.members}
			continue
		}
		conn, err := p.connect(w.GRPC)
		if err != nil {
			return err
		}
		next[w.Name] = &peer{
			Peer: w, conn: conn, intent: intentpb.NewIntentClient(conn), members: intentpb.NewMembershipClient(conn),
		}
	}
	for name, have := range p.byName {
		if now := next[name]; now == nil || now.conn != have.conn {
			_ = have.conn.Close()
		}
	}
	p.byName = next
	return nil
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, have := range p.byName {
		_ = have.conn.Close()
	}
	p.byName, p.closed = nil, true
}

// connect opens, lazily, a connection to another server.
func (s *Core) connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithContextDialer(s.env.Dial), grpc.WithNoProxy(),
		grpc.WithTransportCredentials(credentials.NewTLS(s.env.Identity.Client(identity.RoleServer))),
		grpc.WithDisableServiceConfig(),
		grpc.WithUnaryInterceptor(s.sayCluster),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.3, MaxDelay: retryMost},
			MinConnectTimeout: 2 * time.Second,
		}))
}

// known are the other servers as the table has them; until it has all, those of the configuration too.
func (s *Core) known() []Peer {
	var all []Peer
	founded := s.machine.Founded()
	for _, p := range s.config.others() {
		if !founded && s.machine.Server(p.Name) == nil {
			all = append(all, p)
		}
	}
	for _, r := range s.machine.Servers() {
		if r.GetName() != s.config.Name {
			all = append(all, Peer{
				Name: r.GetName(), Place: process.Place{Region: r.GetRegion(), Center: r.GetCenter()}, Raft: r.GetRaft(), GRPC: r.GetGrpc(),
			})
		}
	}
	return all
}

// followTable keeps connections, Raft's addresses and the feeds' peers those of the table, until ctx ends.
func (s *Core) followTable(ctx context.Context) error {
	for {
		changed := s.machine.MembersChanged()
		known := s.known()
		if err := s.peers.set(known); err != nil {
			return err
		}
		addresses := map[string]string{s.config.Name: s.config.advertised().Raft}
		for _, p := range known {
			addresses[p.Name] = p.Raft
		}
		s.node.SetAddresses(addresses)
		s.node.SetFolders(s.folders())
		s.follower.SetPeers(s.feedPeers(known))
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// folders are the data folders of the servers of the table, this one's too: who comes with another one was replaced.
func (s *Core) folders() map[string]string {
	folders := map[string]string{}
	for _, r := range s.machine.Servers() {
		folders[r.GetName()] = r.GetFolder()
	}
	return folders
}

// feedPeers are other servers as feeds follow them, nearest first.
func (s *Core) feedPeers(known []Peer) []feed.Peer {
	others := process.Nearest(s.config.Place, known, func(p Peer) process.Place { return p.Place })
	list := make([]feed.Peer, len(others))
	for i, p := range others {
		list[i] = feed.Peer{Name: p.Name, Address: p.GRPC, TLS: s.env.Identity.Client(identity.RoleServer),
			Says: clusterSaid{s}}
	}
	return list
}
