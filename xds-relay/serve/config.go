// Package serve answers xDS streams from a feed of rendered resources. See DESIGN.md.
package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/federation/feed"
)

// Config of a Server.
type Config struct {
	// Name identifies this relay to its clients (DiscoveryResponse.control_plane) and in logs. May be empty.
	Name string
	// Resources is what is served: Kind is the type URL, Key the resource's name, Value an encoded
	// google.protobuf.Any. Required.
	Resources *feed.Log
	// Ready says whether the resources may be shown at all; until it does, streams are refused with UNAVAILABLE
	// before any response. Nil: as soon as Resources has its first commit mark. It is asked when a stream opens and
	// must not block.
	Ready func() bool
	// OnDemand gives the content of a resource that exists by being asked for, such as a gRPC server's Listener, as
	// an encoded google.protobuf.Any; false if there is none of that name. A record in Resources goes before it. It
	// must be pure: same arguments, same bytes, no blocking. May be nil.
	OnDemand func(typeURL, name string) (body []byte, ok bool)
	// Absent gives positive content that stands in for a name that does not exist (a route that refuses, an empty
	// assignment), asked after OnDemand. What it answers is served together with a resource error NOT_FOUND. Pure as
	// OnDemand. Nil, or false: the name is answered by the resource error alone, which grpc-go does not read.
	Absent func(typeURL, name string) (body []byte, ok bool)

	// Since gives the highest since, an epoch of the estate, of the ownership that a resource carries; 0: none. It is
	// asked once for each resource, when it becomes part of what is served; body is as in Resources. Pure as OnDemand.
	// Nil: always 0, and no stream waits for what other relays had.
	Since func(typeURL string, body []byte) uint64

	// MaxBytes bounds a response to a client that names what it wants; gRPC clients refuse messages of 4 MiB and
	// would come back for the same for ever. Default 3.5 MiB.
	MaxBytes int
	// SplitBytes is where responses are split that need not be complete (routes, endpoints). Default 1 MiB.
	SplitBytes int
	// MaxNames bounds the names that a stream may ask for per type. Default 50,000.
	MaxNames int
	// GateLapse is how long listeners and routes of a wildcard stream wait for the acknowledgement of what they name;
	// then they go out and the stream is marked as behind. Default 10 s.
	GateLapse time.Duration
	// Linger is how long a cluster that was removed stays with a client that was just sent other routes and still asks
	// for it. Default 1 s.
	Linger time.Duration
	// CatchUp is how long a client that shows routes of a higher since than this relay's waits for them; then it gets
	// those that there are. Default 2 s, which is also the most (rule 7).
	CatchUp time.Duration
	// CloseBehind is the age of an unanswered response at which a stream that is behind is closed. Default 30 s.
	CloseBehind time.Duration
	// Drain is the time over which Run spreads the closing of streams when its context ends. Default 1 s.
	Drain time.Duration

	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer

	// faults break rules on purpose, in tests.
	faults faults
}

// Validate says what is wrong with the configuration, naming the field, its value and what would be right.
func (c Config) Validate() error {
	var errs []error
	if c.Resources == nil {
		errs = append(errs, errors.New("serve: Resources is nil: hand in the feed.Log that the renderer writes"))
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxBytes", int64(c.MaxBytes)},
		{"SplitBytes", int64(c.SplitBytes)},
		{"MaxNames", int64(c.MaxNames)},
		{"GateLapse", int64(c.GateLapse)},
		{"Linger", int64(c.Linger)},
		{"CatchUp", int64(c.CatchUp)},
		{"CloseBehind", int64(c.CloseBehind)},
		{"Drain", int64(c.Drain)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("serve: %s is %d: must be positive, or 0 for the default", f.name, f.value))
		}
	}
	full := c.withDefaults()
	if full.MaxBytes >= 4<<20 {
		errs = append(errs, fmt.Errorf("serve: MaxBytes is %d: must be below %d, gRPC's limit", c.MaxBytes, 4<<20))
	}
	if full.SplitBytes > full.MaxBytes {
		errs = append(errs, fmt.Errorf("serve: SplitBytes is %d: must be at most MaxBytes, %d", full.SplitBytes,
			full.MaxBytes))
	}
	if full.CloseBehind < full.GateLapse {
		errs = append(errs, fmt.Errorf("serve: CloseBehind is %v: must be at least GateLapse, %v", full.CloseBehind,
			full.GateLapse))
	}
	if full.CatchUp > maxCatchUp {
		errs = append(errs, fmt.Errorf("serve: CatchUp is %v: must be at most %v", c.CatchUp, maxCatchUp))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *int
		value int
	}{{&c.MaxBytes, 7 << 19}, {&c.SplitBytes, 1 << 20}, {&c.MaxNames, 50_000}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.GateLapse, 10 * time.Second}, {&c.Linger, time.Second}, {&c.CatchUp, maxCatchUp},
		{&c.CloseBehind, 30 * time.Second}, {&c.Drain, time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// faults are planted bugs, each the violation of one rule; the zero value is right.
type faults struct {
	suppressOnNewStream bool // a named type is not answered on a new stream when the version is the same
	versionWithoutSet   bool // version_info does not depend on the set that was asked for
	ackByVersion        bool // an acknowledgement is matched by version instead of nonce
	ignoreAddedNames    bool // a name added to a subscription is not answered unless its content changes
	silentOnMissing     bool // a name that does not exist is answered by absence
	emptyIsWildcard     bool // empty names mean wildcard also after names were named
	answerUnready       bool // streams are answered before the first commit mark
	thirdInFlight       bool // no limit of two responses in flight
	noFollow            bool // endpoints do not follow their changed cluster
	noGate              bool // listeners and routes do not wait for clusters on a wildcard stream
	dropAtOnce          bool // a removed cluster is dropped before the routes that named it
	noCatchUp           bool // routes older than those that the client shows are sent at once
	waitForEver         bool // a relay that doesn't catch up never answers
	orderByHash         bool // the higher hash is taken for the newer content
	holdOthers          bool // other types wait with the routes
	anyVersion          bool // whatever begins with a number and a dot is taken for a version of ours
	sinceSticks         bool // the highest since of a set never falls
}
