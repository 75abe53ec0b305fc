package feed

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
)

// Peer is the other end of a connection that this process opens.
type Peer struct {
	// Name is for people and for logs; unique among the peers of one half.
	Name string
	// Address is host:port.
	Address string
	// TLS nil means plain text, which only tests use.
	TLS *tls.Config
	// Says, if set, goes with every stream as its metadata: what the caller says of itself beside its certificate.
	Says credentials.PerRPCCredentials
}

// Dialer opens connections; nil: TCP.
type Dialer func(ctx context.Context, address string) (net.Conn, error)

// Validator says why a receiver cannot use a live record; nil: it can. A rejected record is stored and passed on all
// the same; the rejection is a report to the sender and the log (rule 17).
type Validator func(id ID, r *Record) error

// Rejection reports a record that a receiver cannot use.
type Rejection struct {
	Kind   string   `json:"kind"`
	Key    string   `json:"key"`
	At     Position `json:"at"`
	Reason string   `json:"reason"`
}

// PeerStatus is the state of a connection for operators.
type PeerStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	// Connected says that a stream is open.
	Connected bool `json:"connected"`
	// Active says, of one of several peers of which one is used, that it is this one.
	Active bool `json:"active"`
	// Error is why the last stream ended.
	Error string     `json:"error,omitempty"`
	Feeds []PeerFeed `json:"feeds,omitempty"`
}

// PeerFeed is a feed on a connection.
type PeerFeed struct {
	ID ID `json:"id"`
	// Open says that there is a sub-stream.
	Open bool `json:"open"`
	// Position is what the peer announced, or acknowledged.
	Position Position `json:"position"`
	// Highest is what the peer heard of (rule 4); of senders unknown.
	Highest Position `json:"highest,omitzero"`
	// Home says that the feed's writer is connected to the peer.
	Home bool `json:"home,omitempty"`
	// Refused is why the peer does not take, or give, the feed.
	Refused string `json:"refused,omitempty"`
	// Rejections are the last records that the peer rejected; Rejected counts them all.
	Rejections []Rejection `json:"rejections,omitempty"`
	Rejected   uint64      `json:"rejected,omitempty"`
}

const (
	defaultHeartbeat = time.Second
	defaultPatience  = 2 * time.Second
)

// same says whether a stream to p may go on when the configuration says q.
func (p Peer) same(q Peer) bool { return p.Name == q.Name && p.Address == q.Address }

func compareIDs(a, b ID) int { return cmp.Compare(a, b) }

func validatePeers(field string, peers []Peer) error {
	names := map[string]bool{}
	for i, p := range peers {
		switch {
		case p.Name == "" || p.Address == "":
			return fmt.Errorf("%s[%d]: name %q, address %q: both are required", field, i, p.Name, p.Address)
		case names[p.Name]:
			return fmt.Errorf("%s[%d]: name %q: is there twice", field, i, p.Name)
		}
		names[p.Name] = true
	}
	return nil
}
