package relay

import (
	"errors"
	"fmt"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
)

// Config is the configuration file of a relay.
type Config struct {
	// Name is the relay's name, unique in its cluster; its certificate must bear "<cluster>/<name>".
	Name string `json:"name"`
	// Cluster is the cluster that the relay serves; its agent alone may publish to the relay.
	Cluster string `json:"cluster"`
	process.Place
	// DataDir is the relay's own folder, for the last known good state.
	DataDir      string         `json:"dataDir"`
	Listen       Listen         `json:"listen"`
	Certificates identity.Files `json:"certificates"`
	// Servers are all federation servers; the relay prefers its own center's, then its region's.
	Servers []Peer `json:"servers"`
}

// Listen are the relay's addresses, host:port: xDS and feeds on one, the admin page on the other.
type Listen struct {
	GRPC  string `json:"grpc"`
	Admin string `json:"admin"`
}

// Peer is a federation server.
type Peer struct {
	Name string `json:"name"`
	process.Place
	GRPC string `json:"grpc"`
}

// Validate refuses a configuration with every wrong field named.
func (c *Config) Validate() error {
	errs := []error{
		process.Required("name", c.Name),
		process.Required("cluster", c.Cluster),
		c.Place.Validate(),
		process.Required("dataDir", c.DataDir),
		process.Address("listen.grpc", c.Listen.GRPC),
		process.Address("listen.admin", c.Listen.Admin),
		c.Certificates.Validate("certificates"),
	}
	if len(c.Servers) == 0 {
		errs = append(errs, errors.New("servers: must name at least one federation server"))
	}
	for i, s := range c.Servers {
		field := func(name string) string { return fmt.Sprintf("servers[%d].%s", i, name) }
		errs = append(errs,
			process.Required(field("name"), s.Name),
			process.Required(field("region"), s.Region),
			process.Required(field("center"), s.Center),
			process.Address(field("grpc"), s.GRPC))
	}
	return errors.Join(errs...)
}
