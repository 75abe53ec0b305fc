package sample

import (
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/process"
)

// adminListener is the name of the admin page's listener.
const adminListener = "admin"

// ServerConfig is the configuration file of `pentad sample`.
type ServerConfig struct {
	// Name is the process's name, for its log.
	Name string `json:"name"`
	process.Place
	Listen Listen `json:"listen"`
	// XDS makes the servers take their listeners from xDS, by the bootstrap in GRPC_XDS_BOOTSTRAP; otherwise they are
	// plain.
	XDS bool `json:"xds,omitempty"`
	// Instances are what the process serves.
	Instances []Instance `json:"instances"`
}

// Listen are addresses, host:port.
type Listen struct {
	Admin string `json:"admin"`
}

// Instance is one endpoint of a service.
type Instance struct {
	// Name is unique in the estate. A listener that is passed by file descriptor bears this name.
	Name    string `json:"name"`
	Service string `json:"service"`
	// Listen is the address that it serves on, host:port, and that the registry names.
	Listen string `json:"listen"`
}

// Validate refuses a configuration with every wrong field named.
func (c *ServerConfig) Validate() error {
	errs := []error{
		process.Required("name", c.Name),
		c.Place.Validate(),
		process.Address("listen.admin", c.Listen.Admin),
	}
	if len(c.Instances) == 0 {
		errs = append(errs, errors.New("instances: must hold at least one"))
	}
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
	}
	return errors.Join(errs...)
}

// addresses are what the process listens on, by the names of the listeners that may be passed to it.
func (c *ServerConfig) addresses() map[string]string {
	addresses := map[string]string{adminListener: c.Listen.Admin}
	for _, in := range c.Instances {
		addresses[in.Name] = in.Listen
	}
	return addresses
}

// DefaultRate is how many requests a second a client makes to each service.
const DefaultRate = 20

// DefaultDeadline is how long a request may take. An answer takes milliseconds, unless the machine is short of CPUs.
const DefaultDeadline = 2 * time.Second

// LoadConfig is the configuration file of `pentad load`.
type LoadConfig struct {
	// Name is the process's name, for its log and its record files.
	Name string `json:"name"`
	process.Place
	Listen Listen `json:"listen"`
	// Services are called, each through a channel of its own.
	Services []string `json:"services"`
	// Rate is requests a second to each service. Default 20.
	Rate float64 `json:"rate,omitempty"`
	// Deadline of a request. Default 2s.
	Deadline *metav1.Duration `json:"deadline,omitempty"`
	// Records is the folder that gets a file for each run of this process.
	Records string `json:"records"`
}

// Validate refuses a configuration with every wrong field named.
func (c *LoadConfig) Validate() error {
	errs := []error{
		process.Required("name", c.Name),
		c.Place.Validate(),
		process.Address("listen.admin", c.Listen.Admin),
		process.Required("records", c.Records),
	}
	if len(c.Services) == 0 {
		errs = append(errs, errors.New("services: must name at least one"))
	}
	for i, name := range c.Services {
		errs = append(errs, checkService(fmt.Sprintf("services[%d]", i), name))
	}
	if c.Rate < 0 || c.Rate > 10_000 {
		errs = append(
			errs,
			fmt.Errorf("rate: %g is not between 0 (the default, %d) and 10000 requests a second", c.Rate, DefaultRate),
		)
	}
	if d := c.Deadline; d != nil && (d.Duration < time.Millisecond || d.Duration > time.Minute) {
		errs = append(errs, fmt.Errorf("deadline: %s is not between 1ms and 1m", d.Duration))
	}
	return errors.Join(errs...)
}

// addresses are what the process listens on, by the names of the listeners that may be passed to it.
func (c *LoadConfig) addresses() map[string]string {
	return map[string]string{adminListener: c.Listen.Admin}
}

func (c *LoadConfig) rate() float64 {
	if c.Rate == 0 {
		return DefaultRate
	}
	return c.Rate
}

func (c *LoadConfig) deadline() time.Duration {
	if c.Deadline == nil {
		return DefaultDeadline
	}
	return c.Deadline.Duration
}
