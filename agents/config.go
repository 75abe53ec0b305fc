package agents

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/process"
)

// Config is the configuration file of an agent.
type Config struct {
	// Cluster is the cluster that the agent writes for; its certificate must bear the name.
	Cluster string `json:"cluster"`
	process.Place
	// DataDir is the agent's own folder: the incarnations that it used, and since when services are exported.
	DataDir      string         `json:"dataDir"`
	Listen       Listen         `json:"listen"`
	Certificates identity.Files `json:"certificates"`
	// Servers are all federation servers; the agent publishes to its own center's, or else its region's, or else another.
	Servers []Server `json:"servers"`
	// Relays are the cluster's relays; the agent publishes to each of them.
	Relays []Relay `json:"relays,omitempty"`
	// Sources are the registries of the cluster.
	Sources []Source `json:"sources"`
}

// Listen are the agent's addresses, host:port.
type Listen struct {
	Admin string `json:"admin"`
	// GRPC is where members of stores ask for their permits. Empty: this cluster has no stores; orders for stores are not
	// obeyed, and no permits are held.
	GRPC string `json:"grpc,omitempty"`
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

// SourceType says which adapter reads a source.
type SourceType string

// SourceFile is a registry file (agents/vm).
const SourceFile SourceType = "file"

// Source is a registry.
type Source struct {
	// Name is the last part of the id of the source's feed, a DNS label.
	Name string     `json:"name"`
	Type SourceType `json:"type"`
	// Path is, for type file, the registry file.
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
	if c.Listen.GRPC != "" {
		errs = append(errs, process.Address("listen.grpc", c.Listen.GRPC))
	}
	if len(c.Servers) == 0 {
		errs = append(errs, errors.New("servers: must name at least one federation server"))
	}
	servers, relays := names{}, names{}
	for i, s := range c.Servers {
		field := func(name string) string { return fmt.Sprintf("servers[%d].%s", i, name) }
		errs = append(errs,
			servers.add(field("name"), s.Name),
			process.Required(field("region"), s.Region),
			process.Required(field("center"), s.Center),
			process.Address(field("grpc"), s.GRPC))
	}
	for i, r := range c.Relays {
		field := func(name string) string { return fmt.Sprintf("relays[%d].%s", i, name) }
		errs = append(errs, relays.add(field("name"), r.Name), process.Address(field("grpc"), r.GRPC))
	}
	return errors.Join(append(errs, c.validateSources())...)
}

func (c *Config) validateSources() error {
	if len(c.Sources) == 0 {
		return errors.New("sources: must name at least one source")
	}
	var errs []error
	sources := names{model.ReportsSource: true} // the agent's own feed
	for i, s := range c.Sources {
		path := field.NewPath("sources").Index(i)
		errs = append(errs, sources.add(path.Child("name").String(), s.Name))
		for _, err := range model.ValidateSourceName(path.Child("name"), s.Name) {
			errs = append(errs, err)
		}
		switch s.Type {
		case SourceFile:
			errs = append(errs, process.Required(path.Child("path").String(), s.Path))
		default:
			errs = append(errs, field.NotSupported(path.Child("type"), s.Type, []SourceType{SourceFile}))
		}
	}
	return errors.Join(errs...)
}

// names are those of a list.
type names map[string]bool

func (n names) add(field, name string) error {
	if n[name] {
		return fmt.Errorf("%s: %q is taken already", field, name)
	}
	n[name] = true
	return process.Required(field, name)
}
