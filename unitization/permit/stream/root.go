package stream

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/switchover"
)

// Authority is the intent, as a Root needs it.
type Authority interface {
	// Read returns a revision that includes everything committed before the call (a linearizable read).
	Read(ctx context.Context) (revision uint64, err error)
	// State is the ownership state of this replica with its revision, and a channel that is closed when it changes.
	State() (switchover.State, uint64, <-chan struct{})
	// WaitRevision returns when this replica's State is at least at the revision.
	WaitRevision(ctx context.Context, revision uint64) error
	// OpenSession registers a session in the log.
	OpenSession(ctx context.Context, session switchover.Session) error
	// AckFreeze tells the log of acknowledgements, in one entry.
	AckFreeze(ctx context.Context, acks []switchover.AckFreeze) error
}

// RootConfig configures a Root.
type RootConfig struct {
	// Authority is required.
	Authority Authority
	// Concerns says whether a unitization has cells in a center; nil: each is taken to have. It must be quick.
	Concerns func(unitization, center string) bool
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Root is the Grantor of a federation server: it answers relays and agents from the intent.
type Root struct{ cfg RootConfig }

// SessionProgress is what a server knows of a session that asks, or asked, here.
type SessionProgress struct {
	Session string
	// Age is how long ago it last asked here.
	Age time.Duration
	// Rendered is the intent revision that the relay's data planes were served from then.
	Rendered uint64
}

// NewRoot fails on a wrong configuration.
func NewRoot(cfg RootConfig) (*Root, error) { return &Root{cfg: cfg}, nil }

// Run reads, hints and acknowledges until ctx ends. Without it no ask is answered.
func (r *Root) Run(ctx context.Context) error { return nil }

// Open is Grantor's.
func (r *Root) Open(ctx context.Context, open *permitpb.Open) (Lease, error) {
	return nil, errors.New("not yet")
}

// Progress are the sessions that ask here, and those that asked here last and are still in the log.
func (r *Root) Progress() []SessionProgress { return nil }
