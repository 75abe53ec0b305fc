package permit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// HopConfig configures a Hop.
type HopConfig struct {
	// Holder is what the hop is upstream: HOLDER_RELAY grants to guards, HOLDER_AGENT to stores.
	Holder permitpb.Holder
	// Center is where the hop is; it grants only to cells of this center. Required.
	Center string
	// Clock is that of the client upstream, too. Required.
	Clock Clock
	// Rendered is the intent revision that the relay's data planes are served from; may be nil.
	Rendered func() uint64
	// Log may be nil.
	Log *slog.Logger
}

// Validate says what is wrong with the configuration.
func (c HopConfig) Validate() error {
	switch {
	case c.Holder != permitpb.Holder_HOLDER_RELAY && c.Holder != permitpb.Holder_HOLDER_AGENT:
		return fmt.Errorf("permit hop: holder: %s: must be HOLDER_RELAY or HOLDER_AGENT", c.Holder)
	case c.Center == "":
		return errors.New("permit hop: center: is required")
	case c.Clock == nil:
		return errors.New("permit hop: clock: is required")
	}
	return nil
}

// Hop hands permits on: upstream it is a Holder, downstream a Grantor. Relays and agents have one each.
type Hop struct{ cfg HopConfig }

// NewHop fails on a wrong configuration.
func NewHop(cfg HopConfig) (*Hop, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Hop{cfg: cfg}, nil
}

// Granted is Holder's.
func (h *Hop) Granted(*Permit) {}

// Closed is Holder's.
func (h *Hop) Closed() []uint64 { return nil }

// Rendered is Holder's.
func (h *Hop) Rendered() uint64 { return 0 }

// Wakes is Waker's.
func (h *Hop) Wakes() <-chan struct{} { return nil }

// Open is Grantor's.
func (h *Hop) Open(context.Context, *permitpb.Open) (Lease, error) {
	return nil, errors.New("not yet")
}
