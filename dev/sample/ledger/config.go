package ledger

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/stream"
)

// Config is what a Member needs.
type Config struct {
	// Store is the Store's name, Member this member's: its center.
	Store, Member string
	// Listener takes applications and the other members by gRPC, WebhookListener the agent's orders by HTTP. Both are
	// the member's once New has returned without error.
	Listener, WebhookListener net.Listener
	// Dir is the member's own folder.
	Dir string
	// Peers are the other members.
	Peers []Peer
	// Agents grant the permit, in order of preference: those of this member's center.
	Agents []stream.Peer
	// TLS is the gRPC listener's; nil: plain text.
	TLS *tls.Config
	// Dial opens connections to members and agents; nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Clock counts permits; nil: permit.SystemClock.
	Clock permit.Clock
	// Now is the clock of entries and events; nil: record.Now.
	Now func() record.Time
	// Asynchronous plants a fault, for drills: a write is acknowledged when the primary alone has it on disk, as a store does
	// that replicates asynchronously and is declared to be synchronous.
	Asynchronous bool
	// Log may be nil.
	Log *slog.Logger

	// gate takes the place of the permit, in tests.
	gate   func() (token uint64, named bool)
	broken breakage
}

// Peer is another member.
type Peer struct {
	Member string
	// Address is host:port of its Listener.
	Address string
	// TLS nil means plain text.
	TLS *tls.Config
}

// Validate names every wrong field.
func (c Config) Validate() error {
	var errs []error
	for _, required := range []struct {
		field   string
		missing bool
	}{
		{"store", c.Store == ""}, {"member", c.Member == ""}, {"dir", c.Dir == ""}, {"listener", c.Listener == nil},
		{"webhookListener", c.WebhookListener == nil}, {"agents", len(c.Agents) == 0 && c.gate == nil},
	} {
		if required.missing {
			errs = append(errs, fmt.Errorf("ledger: %s: must not be empty", required.field))
		}
	}
	seen := map[string]bool{c.Member: true}
	for i, p := range c.Peers {
		if p.Member == "" || p.Address == "" {
			errs = append(errs, fmt.Errorf("ledger: peers[%d]: member %q, address %q: both are required",
				i, p.Member, p.Address))
		}
		if seen[p.Member] {
			errs = append(errs, fmt.Errorf("ledger: peers[%d].member: %q is there already", i, p.Member))
		}
		seen[p.Member] = true
	}
	return errors.Join(errs...)
}
