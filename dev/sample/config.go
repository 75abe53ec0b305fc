package sample

import (
	"errors"
	"fmt"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
)

// adminListener is the name of the admin page's listener.
const adminListener = "admin"

// ServerConfig is the configuration file of `pentad sample`.
type ServerConfig struct {
	// Name is the process's name, for its log and its journal.
	Name string `json:"name"`
	process.Place
	Listen Listen `json:"listen"`
	// XDS makes the servers take their listeners from xDS, by the bootstrap in GRPC_XDS_BOOTSTRAP; otherwise they are
	// plain.
	XDS bool `json:"xds,omitempty"`
	// Instances are what the process serves.
	Instances []Instance `json:"instances"`

	// Cluster is where the process runs, for the guards of instances with a cell, which need Records and Relays, too.
	Cluster string `json:"cluster,omitempty"`
	// Records is the folder that gets a journal for each run of this process.
	Records string `json:"records,omitempty"`
	// Relays are asked for permits and rules by the guards, in order of preference.
	Relays []Peer `json:"relays,omitempty"`
	// Stores are where instances keep their data.
	Stores []StoreConfig `json:"stores,omitempty"`
	// Ledgers are the members of stores that this process hosts. They need Agents.
	Ledgers []Ledger `json:"ledgers,omitempty"`
	// Agents are asked for permits by the ledgers, in order of preference.
	Agents []Peer `json:"agents,omitempty"`
	// Asynchronous plants a fault: the ledgers acknowledge what they alone have. See ledger.Config.
	Asynchronous bool `json:"asynchronous,omitempty"`
}

// Listen are addresses, host:port.
type Listen struct {
	Admin string `json:"admin"`
}

// Peer is a relay or an agent.
type Peer struct {
	Name string `json:"name"`
	// GRPC is its address, host:port.
	GRPC string `json:"grpc"`
}

// Instance is one endpoint of a service.
type Instance struct {
	// Name is unique in the estate. A listener that is passed by file descriptor bears this name.
	Name    string `json:"name"`
	Service string `json:"service"`
	// Listen is the address that it serves on, host:port, and that the registry names.
	Listen string `json:"listen"`

	// Unit and Cell (<unit>.<center>) say what the instance is; it then has a guard. Empty: it belongs to no unit.
	Unit string `json:"unit,omitempty"`
	Cell string `json:"cell,omitempty"`
	// Store is the unit's. Without one the instance forgets what is written.
	Store string `json:"store,omitempty"`
	// Certificates are the guard's identity, workload/cell/<cell>.
	Certificates identity.Files `json:"certificates,omitzero"`
}

// StoreConfig is a store and where its members are reached.
type StoreConfig struct {
	Name    string   `json:"name"`
	Members []Member `json:"members"`
}

// Member is one copy of a store.
type Member struct {
	// Name is the member's center.
	Name string `json:"name"`
	// GRPC is its address, host:port.
	GRPC string `json:"grpc"`
}

// Ledger is a member that is hosted here.
type Ledger struct {
	// Store is one of Stores; the member is that of this center.
	Store string `json:"store"`
	// Dir is the member's own folder.
	Dir string `json:"dir"`
	// GRPC and Webhook are the addresses, host:port, that it serves the other members and its agent on. Listeners that
	// are passed by file descriptor bear the names that LedgerListeners says.
	GRPC    string `json:"grpc"`
	Webhook string `json:"webhook"`
	// Certificates are the member's identity, workload/store/<store>.<center>.
	Certificates identity.Files `json:"certificates"`
}

// LedgerListeners are the names of the listeners of a store's member.
func LedgerListeners(store string) (grpc, webhook string) {
	return "ledger-" + store, "webhook-" + store
}

// Validate refuses a configuration with every wrong field named.
func (c *ServerConfig) Validate() error {
	errs := []error{
		process.Required("name", c.Name),
		c.Place.Validate(),
		process.Address("listen.admin", c.Listen.Admin),
	}
	if len(c.Instances) == 0 && len(c.Ledgers) == 0 {
		errs = append(errs, errors.New("instances: must hold at least one"))
	}
	stores, err := c.validateStores()
	errs = append(errs, err, validatePeers("relays", c.Relays), validatePeers("agents", c.Agents))
	seen := map[string]bool{adminListener: true}
	for i, in := range c.Instances {
		field := func(name string) string { return fmt.Sprintf("instances[%d].%s", i, name) }
		errs = append(errs,
			process.Required(field("name"), in.Name),
			checkService(field("service"), in.Service),
			process.Address(field("listen"), in.Listen))
		if seen[in.Name] {
			errs = append(errs, fmt.Errorf("%s: %q is there already", field("name"), in.Name))
		}
		seen[in.Name] = true
		errs = append(errs, c.validateCell(field, in, stores))
	}
	return errors.Join(append(errs, c.validateLedgers(stores))...)
}

func (c *ServerConfig) validateCell(field func(string) string, in Instance, stores map[string]bool) error {
	var errs []error
	if in.Store != "" && !stores[in.Store] {
		errs = append(errs, fmt.Errorf("%s: %q is not among stores", field("store"), in.Store))
	}
	if in.Cell == "" {
		if in.Unit != "" || in.Store != "" {
			errs = append(errs, fmt.Errorf("%s: must not be empty where unit or store is set", field("cell")))
		}
		return errors.Join(errs...)
	}
	if want := in.Unit + "." + c.Center; in.Unit == "" || in.Cell != want {
		errs = append(errs, fmt.Errorf("%s: %q is not <unit>.<center>, here %q", field("cell"), in.Cell, want))
	}
	return errors.Join(append(errs,
		in.Certificates.Validate(field("certificates")),
		process.Required("cluster", c.Cluster), process.Required("records", c.Records), atLeastOne("relays", c.Relays))...)
}

func (c *ServerConfig) validateStores() (names map[string]bool, err error) {
	var errs []error
	names = map[string]bool{}
	for i, s := range c.Stores {
		field := fmt.Sprintf("stores[%d]", i)
		errs = append(errs, process.Required(field+".name", s.Name))
		if names[s.Name] {
			errs = append(errs, fmt.Errorf("%s.name: %q is there already", field, s.Name))
		}
		names[s.Name] = true
		if len(s.Members) == 0 {
			errs = append(errs, fmt.Errorf("%s.members: must hold at least one", field))
		}
		for j, m := range s.Members {
			member := fmt.Sprintf("%s.members[%d]", field, j)
			errs = append(errs, process.Required(member+".name", m.Name), process.Address(member+".grpc", m.GRPC))
		}
	}
	return names, errors.Join(errs...)
}

func (c *ServerConfig) validateLedgers(stores map[string]bool) error {
	var errs []error
	for i, l := range c.Ledgers {
		field := func(name string) string { return fmt.Sprintf("ledgers[%d].%s", i, name) }
		if !stores[l.Store] {
			errs = append(errs, fmt.Errorf("%s: %q is not among stores", field("store"), l.Store))
		} else if c.member(l.Store) == "" {
			errs = append(errs, fmt.Errorf("%s: store %q has no member in center %q", field("store"), l.Store, c.Center))
		}
		errs = append(errs,
			process.Required(field("dir"), l.Dir),
			process.Address(field("grpc"), l.GRPC), process.Address(field("webhook"), l.Webhook),
			l.Certificates.Validate(field("certificates")), atLeastOne("agents", c.Agents))
	}
	return errors.Join(errs...)
}

// member is the address of a store's member in this center, if there is one.
func (c *ServerConfig) member(store string) string {
	for _, s := range c.Stores {
		for _, m := range s.Members {
			if s.Name == store && m.Name == c.Center {
				return m.GRPC
			}
		}
	}
	return ""
}

func validatePeers(field string, peers []Peer) error {
	var errs []error
	seen := map[string]bool{}
	for i, p := range peers {
		errs = append(errs, process.Required(fmt.Sprintf("%s[%d].name", field, i), p.Name),
			process.Address(fmt.Sprintf("%s[%d].grpc", field, i), p.GRPC))
		if seen[p.Name] {
			errs = append(errs, fmt.Errorf("%s[%d].name: %q is there already", field, i, p.Name))
		}
		seen[p.Name] = true
	}
	return errors.Join(errs...)
}

func atLeastOne(field string, peers []Peer) error {
	if len(peers) == 0 {
		return fmt.Errorf("%s: must name at least one", field)
	}
	return nil
}

// addresses are what the process listens on, by the names of the listeners that may be passed to it.
func (c *ServerConfig) addresses() map[string]string {
	addresses := map[string]string{adminListener: c.Listen.Admin}
	for _, in := range c.Instances {
		addresses[in.Name] = in.Listen
	}
	for _, l := range c.Ledgers {
		grpc, webhook := LedgerListeners(l.Store)
		addresses[grpc], addresses[webhook] = l.GRPC, l.Webhook
	}
	return addresses
}
