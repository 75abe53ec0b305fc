package agents

import (
	"errors"
	"fmt"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
)

// Config is the configuration file of an agent.
type Config struct {
	// Cluster is the cluster that the agent writes for; its certificate must bear it.
	Cluster string `json:"cluster"`
	process.Place
	// DataDir is the agent's own folder.
	DataDir      string         `json:"dataDir"`
	Listen       Listen         `json:"listen"`
	Certificates identity.Files `json:"certificates"`
	// Servers are all federation servers; the agent prefers its own center's, then its region's.
	Servers []Server `json:"servers"`
	// Relays are the cluster's own; the agent publishes to each of them directly.
	Relays []Relay `json:"relays"`
	// Sources are the cluster's registries.
	Sources []Source `json:"sources"`
}

// Listen are the agent's addresses, host:port.
type Listen struct {
	Admin string `json:"admin"`
}

// Server is a federation server.
type Server struct {
	Name string `json:"name"`
	process.Place
	GRPC string `json:"grpc"`
}

// Relay is a relay of the cluster.
type Relay struct {
	Name string `json:"name"`
	GRPC string `json:"grpc"`
}

// TypeFile is a registry file that is watched.
const TypeFile = "file"

// Source is a registry.
type Source struct {
	// Name names the source's feed, "<cluster>/<name>".
	Name string `json:"name"`
	// Type says which adapter reads it: file.
	Type string `json:"type"`
	// Path is the registry file, of type file.
	Path string `json:"path,omitempty"`
}

// Validate refuses a configuration with every wrong field named.
func (c *Config) Validate() error {
	errs := []error{
		process.Required("cluster", c.Cluster),
		c.Place.Validate(),
		process.Required("dataDir", c.DataDir),
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
	for i, r := range c.Relays {
		field := func(name string) string { return fmt.Sprintf("relays[%d].%s", i, name) }
		errs = append(errs, process.Required(field("name"), r.Name), process.Address(field("grpc"), r.GRPC))
	}
	return errors.Join(append(errs, c.validateSources())...)
}

func (c *Config) validateSources() error {
	if len(c.Sources) == 0 {
		return errors.New("sources: must name at least one registry")
	}
	var errs []error
	seen := map[string]bool{}
	for i, s := range c.Sources {
		field := func(name string) string { return fmt.Sprintf("sources[%d].%s", i, name) }
		errs = append(errs, process.Required(field("name"), s.Name))
		if seen[s.Name] {
			errs = append(errs, fmt.Errorf("%s: %q is there already", field("name"), s.Name))
		}
		seen[s.Name] = true
		switch s.Type {
		case TypeFile:
			errs = append(errs, process.Required(field("path"), s.Path))
		default:
			errs = append(errs, fmt.Errorf("%s: %q is no type of registry: must be %q", field("type"), s.Type, TypeFile))
		}
	}
	return errors.Join(errs...)
}
