package server

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
)

// DefaultElectionTimeout suits centers some tens of milliseconds apart: killed leader to acknowledged write takes one to
// two seconds.
const DefaultElectionTimeout = 500 * time.Millisecond

// DefaultDeadAfter is longer than what operators take to mend a center, and shorter than a long weekend.
const DefaultDeadAfter = 24 * time.Hour

const (
	// defaultRoundTrip is above what there is between two cities of a country.
	defaultRoundTrip = 100 * time.Millisecond
	maxRoundTrip     = 5 * time.Second
)

// Config is the configuration file of a federation server.
type Config struct {
	// Name is the server's name, unique in the estate; its certificate must bear it.
	Name string `json:"name"`
	process.Place
	// DataDir is the server's own folder.
	DataDir string `json:"dataDir"`
	Listen  Listen `json:"listen"`
	// Certificates are the server's identity towards servers, agents, relays and the API's callers.
	Certificates identity.Files `json:"certificates"`
	// RaftCertificates are its identity towards the other voters, of an authority of its own.
	RaftCertificates identity.Files `json:"raftCertificates"`
	// APIClientCA is the PEM file of the authority whose client certificates the API takes.
	APIClientCA string `json:"apiClientCA"`
	// Servers are the voters that begin a new estate, this one included: the same list at each of them. Later, and for a
	// server that joins, they are only where to ask first: who the servers are is replicated.
	Servers []Peer `json:"servers"`
	// Join, if set, lets a server with an empty data folder join the estate of Servers as a read replica.
	Join *Join `json:"join,omitempty"`
	// Advertise is where others reach this server. Default: what Servers says of it, else what it listens on.
	Advertise Advertise `json:"advertise,omitzero"`
	// DeadAfter is how long a leader hears nothing of a server before it takes its vote: it gets it back when it is heard
	// again. It never leaves fewer voters than a majority of those that operators want. Default 24h; 0: never.
	DeadAfter *metav1.Duration `json:"deadAfter,omitempty"`
	// ElectionTimeout is how long a voter hears nothing of a leader before it stands for election. Default 500ms.
	ElectionTimeout *metav1.Duration `json:"electionTimeout,omitempty"`
	// RoundTrip is the longest that a message between two servers and its answer take. Default 100ms. With the election
	// timeout it says how short permits may be.
	RoundTrip *metav1.Duration `json:"roundTrip,omitempty"`
	// Audit bounds the log of who changed what.
	Audit Audit `json:"audit,omitzero"`

	// adjust is zero but in tests.
	adjust Adjust
}

// Listen are the server's addresses, host:port.
type Listen struct {
	Raft  string `json:"raft"`
	GRPC  string `json:"grpc"`
	API   string `json:"api"`
	Admin string `json:"admin"`
}

// Peer is a server and where the others reach it.
type Peer struct {
	Name string `json:"name"`
	process.Place
	Raft string `json:"raft"`
	GRPC string `json:"grpc"`
}

// Join is how a server comes into an estate that runs.
type Join struct {
	// TokenFile holds the token of `pentad member invite`. It is read once, while the data folder is empty.
	TokenFile string `json:"tokenFile"`
}

// Advertise are addresses, host:port, as others reach them.
type Advertise struct {
	Raft string `json:"raft,omitempty"`
	GRPC string `json:"grpc,omitempty"`
	API  string `json:"api,omitempty"`
}

// Validate refuses a configuration with every wrong field named.
func (c *Config) Validate() error {
	errs := []error{
		process.Required("name", c.Name),
		c.Place.Validate(),
		process.Required("dataDir", c.DataDir),
		process.Address("listen.raft", c.Listen.Raft),
		process.Address("listen.grpc", c.Listen.GRPC),
		process.Address("listen.api", c.Listen.API),
		process.Address("listen.admin", c.Listen.Admin),
		c.Certificates.Validate("certificates"),
		c.RaftCertificates.Validate("raftCertificates"),
		process.Required("apiClientCA", c.APIClientCA),
	}
	seen := map[string]bool{}
	addresses := map[string]string{}
	for i, p := range c.Servers {
		field := func(name string) string { return fmt.Sprintf("servers[%d].%s", i, name) }
		errs = append(errs,
			process.Required(field("name"), p.Name),
			process.Required(field("region"), p.Region),
			process.Required(field("center"), p.Center),
			process.Address(field("raft"), p.Raft),
			process.Address(field("grpc"), p.GRPC))
		if seen[p.Name] {
			errs = append(errs, fmt.Errorf("%s: %q is there already", field("name"), p.Name))
		}
		seen[p.Name] = true
		for _, a := range [...]struct{ name, address string }{{"raft", p.Raft}, {"grpc", p.GRPC}} {
			if other := addresses[a.address]; other != "" {
				errs = append(errs, fmt.Errorf("%s: %q is %s already", field(a.name), a.address, other))
			}
			addresses[a.address] = field(a.name)
		}
	}
	switch {
	case len(c.Servers) == 0 && c.Join != nil:
		errs = append(errs, errors.New("servers: must name those to join"))
	case !seen[c.Name] && c.Join == nil:
		errs = append(errs, fmt.Errorf("servers: must name this server, %q, too: or join must be set", c.Name))
	case seen[c.Name] && c.Join != nil && len(c.Servers) == 1:
		errs = append(errs, fmt.Errorf("servers: must name another server than %q, to join it", c.Name))
	}
	if c.Join != nil {
		errs = append(errs, process.Required("join.tokenFile", c.Join.TokenFile))
	}
	errs = append(errs, c.validateAdvertised())
	if t := c.DeadAfter; t != nil && t.Duration != 0 && t.Duration < time.Minute {
		errs = append(errs, fmt.Errorf("deadAfter: %s is neither 0 (never) nor at least 1m", t.Duration))
	}
	if t := c.ElectionTimeout; t != nil && (t.Duration < 50*time.Millisecond || t.Duration > time.Minute) {
		errs = append(errs, fmt.Errorf("electionTimeout: %s is not between 50ms and 1m", t.Duration))
	}
	if t := c.RoundTrip; t != nil && (t.Duration <= 0 || t.Duration > maxRoundTrip) {
		errs = append(errs, fmt.Errorf("roundTrip: %s is not above 0 and at most %s", t.Duration, maxRoundTrip))
	}
	return errors.Join(append(errs, c.Audit.validate())...)
}

// validateAdvertised refuses addresses that nobody else can reach.
func (c *Config) validateAdvertised() error {
	var errs []error
	at := c.advertised()
	for _, a := range []struct{ name, given, address string }{
		{"raft", c.Advertise.Raft, at.Raft}, {"grpc", c.Advertise.GRPC, at.GRPC}, {"api", c.Advertise.API, at.API},
	} {
		field := "advertise." + a.name
		host, port, err := net.SplitHostPort(a.address)
		switch ip := net.ParseIP(host); {
		case a.given != "" && (err != nil || host == "" || port == ""):
			errs = append(errs, fmt.Errorf("%s: %q is not host:port", field, a.given))
		case err != nil: // listen or servers say so
		case ip != nil && ip.IsUnspecified() || port == "0":
			errs = append(errs, fmt.Errorf("%s: must say where others reach this server: %q is no such address", field, a.address))
		}
	}
	return errors.Join(errs...)
}

// advertised is where others reach this server.
func (c *Config) advertised() Advertise {
	at := Advertise{Raft: c.Listen.Raft, GRPC: c.Listen.GRPC, API: c.Listen.API}
	for _, p := range c.Servers {
		if p.Name == c.Name {
			at.Raft, at.GRPC = p.Raft, p.GRPC
		}
	}
	return Advertise{
		Raft: cmp.Or(c.Advertise.Raft, at.Raft), GRPC: cmp.Or(c.Advertise.GRPC, at.GRPC), API: cmp.Or(c.Advertise.API, at.API),
	}
}

// expects says whether this server is one of those that begin a new estate.
func (c *Config) expects() bool {
	return c.Join == nil && slices.ContainsFunc(c.Servers, func(p Peer) bool { return p.Name == c.Name })
}

func (c *Config) deadAfter() time.Duration {
	if c.DeadAfter == nil {
		return DefaultDeadAfter
	}
	return c.DeadAfter.Duration
}

// others are the other servers.
func (c *Config) others() []Peer {
	return slices.DeleteFunc(slices.Clone(c.Servers), func(p Peer) bool { return p.Name == c.Name })
}

func (c *Config) electionTimeout() time.Duration {
	if c.ElectionTimeout == nil {
		return DefaultElectionTimeout
	}
	return c.ElectionTimeout.Duration
}

func (c *Config) roundTrip() time.Duration {
	if c.RoundTrip == nil {
		return defaultRoundTrip
	}
	return c.RoundTrip.Duration
}
