package consensus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// MaxCommandSize is the largest command that Propose takes, in bytes.
const MaxCommandSize = 2 << 20

// Member is a member of a cluster and where its Raft listener is reached.
type Member struct {
	ID      string
	Address string // host:port
}

// Config configures a Node. Zero durations and counts take the default named at the field.
type Config struct {
	// ID names this node for life. The data folder is bound to it.
	ID string
	// Dir is the data folder. It is made if it does not exist; it holds nothing but this node's data.
	Dir string
	// NewFolder is the id, a UUID, of a folder that is made now; empty: a random one. For Seed, whose content says it.
	NewFolder string
	// Listener takes the other voters' connections; the node closes it.
	Listener net.Listener
	// ServerTLS is used on Listener and must require and verify a client certificate; who is let in is its decision.
	ServerTLS *tls.Config
	// ClientTLS is used to call the other voters.
	ClientTLS *tls.Config
	// CertificateOf names the node that a certificate was issued for: nobody else's messages are taken with it. Default:
	// whoever the TLS configurations let in may be any node.
	CertificateOf func(*x509.Certificate) (node string, err error)
	// Dial connects to another voter's address. Default: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Voters are the members whose addresses are known at the start. They, not those in the log, say where a member is
	// reached, until SetAddresses says otherwise. They need be neither all nor still voters.
	Voters []Member
	// BootstrapAlone makes a new folder that of a cluster of Voters without asking the others, whose folders are taken
	// for right, and which must have the same list. A node that lost its disk must not be started so while the others
	// run: it would vote as if it had promised nothing.
	BootstrapAlone bool
	// Machine is what committed commands are applied to. It must be empty: its state comes from Dir.
	Machine StateMachine

	// HeartbeatTimeout is how long a follower waits for its leader before it stands for election, and up to half as long again, so
	// that not all stand at once. Default 500 ms.
	HeartbeatTimeout time.Duration
	// ElectionTimeout is how long a candidate waits for votes; at least HeartbeatTimeout. Default HeartbeatTimeout.
	ElectionTimeout time.Duration
	// LeaderLease is how long a leader stays in office without hearing a majority; at most HeartbeatTimeout. Default
	// HeartbeatTimeout.
	LeaderLease time.Duration
	// CommitTimeout bounds how late followers learn the commit index when nothing is written. Default 5 ms.
	CommitTimeout time.Duration
	// RPCTimeout bounds one exchange with another voter. Default 2 s, at least four heartbeat timeouts.
	RPCTimeout time.Duration
	// DiskTimeout is how long one write to disk may take before the process is ended. Default 5 s.
	DiskTimeout time.Duration

	// SnapshotThreshold is how many entries are written between two snapshots. Default 8192.
	SnapshotThreshold uint64
	// SnapshotInterval is how often the node looks whether it is time for a snapshot. Default 30 s.
	SnapshotInterval time.Duration
	// TrailingLogs is how many entries stay in the log after a snapshot, for followers that are a little behind.
	// Default 10240.
	TrailingLogs uint64
	// SegmentSize is what one file of the log takes on disk, in bytes. Default 8 MiB.
	SegmentSize int

	// PromoteLag is how many entries a replica may be behind to be promoted. Default 1024.
	PromoteLag uint64

	// FS is the file system under Dir. Default: the operating system's.
	FS FS
	// Logger takes the node's log. Default slog.Default().
	Logger *slog.Logger
	// Metrics takes the node's numbers, and may be nil.
	Metrics prometheus.Registerer
	// Fatal ends the process. It is called, once, when going on would break a promise: the disk hangs or fails, or a
	// committed command cannot be applied. If it returns, the node acknowledges nothing any more and Run returns the
	// error. Default: panic in a goroutine of its own, which nothing can recover.
	Fatal func(error)
	// Observer is nil but in simulations.
	Observer Observer

	// break_ plants a violated rule; tests only. The zero value keeps every rule.
	break_ plants
	// gate delays or refuses messages to other voters; tests only.
	gate gate
}

// Validate says what is wrong with a configuration, naming the field and the value.
func (c *Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if c.ID == "" {
		bad("id", "must not be empty")
	}
	if c.Dir == "" {
		bad("dir", "must not be empty")
	}
	if c.Listener == nil {
		bad("listener", "must be given")
	}
	if c.Machine == nil {
		bad("machine", "must be given")
	}
	if c.ClientTLS == nil {
		bad("clientTLS", "must be given")
	}
	if err := checkServerTLS(c.ServerTLS); err != nil {
		bad("serverTLS", "%v", err)
	}
	if len(c.Voters) > 0 {
		if err := checkMembers("voters", c.Voters); err != nil {
			errs = append(errs, err)
		}
	}
	if c.BootstrapAlone && !slices.ContainsFunc(c.Voters, func(m Member) bool { return m.ID == c.ID }) {
		bad("voters", "no member has this node's id %q", c.ID)
	}
	d := c.withDefaults()
	if d.ElectionTimeout < d.HeartbeatTimeout {
		bad("electionTimeout", "%v is below the heartbeat timeout %v", d.ElectionTimeout, d.HeartbeatTimeout)
	}
	if d.LeaderLease > d.HeartbeatTimeout {
		bad("leaderLease", "%v is above the heartbeat timeout %v", d.LeaderLease, d.HeartbeatTimeout)
	}
	for _, x := range []struct {
		field string
		value time.Duration
		min   time.Duration
	}{
		{"heartbeatTimeout", d.HeartbeatTimeout, 20 * time.Millisecond},
		{"leaderLease", d.LeaderLease, 20 * time.Millisecond},
		{"commitTimeout", d.CommitTimeout, time.Millisecond},
		{"rpcTimeout", d.RPCTimeout, 20 * time.Millisecond},
		{"diskTimeout", d.DiskTimeout, 20 * time.Millisecond},
		{"snapshotInterval", d.SnapshotInterval, 5 * time.Millisecond},
	} {
		if x.value < x.min {
			bad(x.field, "%v is below %v", x.value, x.min)
		}
	}
	if d.SegmentSize < 64<<10 || d.SegmentSize > 1<<30 {
		bad("segmentSize", "%d is not between 64 KiB and 1 GiB", d.SegmentSize)
	}
	return errors.Join(errs...)
}

// checkMembers says what is wrong with a list of members.
func checkMembers(list string, members []Member) error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if len(members) == 0 {
		bad(list, "must not be empty")
	}
	ids, addresses := map[string]bool{}, map[string]bool{}
	for i, m := range members {
		field := fmt.Sprintf("%s[%d]", list, i)
		switch {
		case m.ID == "":
			bad(field+".id", "must not be empty")
		case ids[m.ID]:
			bad(field+".id", "%q is there twice", m.ID)
		}
		if _, _, err := net.SplitHostPort(m.Address); err != nil {
			bad(field+".address", "%q is not host:port: %v", m.Address, err)
		} else if addresses[m.Address] {
			bad(field+".address", "%q is there twice", m.Address)
		}
		ids[m.ID], addresses[m.Address] = true, true
	}
	return errors.Join(errs...)
}

// withDefaults returns the configuration with every unset value filled in.
func (c *Config) withDefaults() Config {
	d := *c
	set := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	set(&d.HeartbeatTimeout, 500*time.Millisecond)
	set(&d.ElectionTimeout, d.HeartbeatTimeout)
	set(&d.LeaderLease, d.HeartbeatTimeout)
	set(&d.CommitTimeout, 5*time.Millisecond)
	set(&d.RPCTimeout, max(2*time.Second, 4*d.HeartbeatTimeout))
	set(&d.DiskTimeout, 5*time.Second)
	set(&d.SnapshotInterval, 30*time.Second)
	if d.SnapshotThreshold == 0 {
		d.SnapshotThreshold = 8192
	}
	if d.TrailingLogs == 0 {
		d.TrailingLogs = 10240
	}
	if d.SegmentSize == 0 {
		d.SegmentSize = 8 << 20
	}
	if d.PromoteLag == 0 {
		d.PromoteLag = 1024
	}
	if d.FS == nil {
		d.FS = OS()
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	if d.Fatal == nil {
		d.Fatal = func(err error) { go panic(err) }
	}
	return d
}
