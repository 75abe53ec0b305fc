package server

import (
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
)

// DefaultElectionTimeout suits centers some tens of milliseconds apart: killed leader to acknowledged write takes one to
// two seconds.
const DefaultElectionTimeout = 500 * time.Millisecond

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
	// Servers are all voters, this one included, and where they are reached: the same list at every server.
	Servers []Peer `json:"servers"`
	// ElectionTimeout is how long a voter hears nothing of a leader before it stands for election. Default 500ms.
	ElectionTimeout *metav1.Duration `json:"electionTimeout,omitempty"`
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
	}
	if !seen[c.Name] {
		errs = append(errs, fmt.Errorf("servers: must name this server, %q, too", c.Name))
	}
	if t := c.ElectionTimeout; t != nil && (t.Duration < 50*time.Millisecond || t.Duration > time.Minute) {
		errs = append(errs, fmt.Errorf("electionTimeout: %s is not between 50ms and 1m", t.Duration))
	}
	return errors.Join(errs...)
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
