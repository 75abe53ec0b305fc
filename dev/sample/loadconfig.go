package sample

import (
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
)

// DefaultRate is how many requests a second a client makes to each service.
const DefaultRate = 20

// DefaultDeadline is how long a request may take. An answer takes milliseconds, unless the machine is short of CPUs.
const DefaultDeadline = 2 * time.Second

// Limits of writes.
const (
	maxShards    = 16384
	maxWriteRate = 100
)

// LoadConfig is the configuration file of `pentad load`.
type LoadConfig struct {
	// Name is the process's name, for its log and its record files.
	Name string `json:"name"`
	process.Place
	Listen Listen `json:"listen"`
	// Services are called, each through a channel of its own.
	Services []string `json:"services"`
	// Rate is requests (reads, where a service has writes) a second to each service. Default 20.
	Rate float64 `json:"rate,omitempty"`
	// Deadline of a request. Default 2s.
	Deadline *metav1.Duration `json:"deadline,omitempty"`
	// Records is the folder that gets a file for each run of this process.
	Records string `json:"records"`
	// Writes are made beside the requests. They need Relays and Certificates.
	Writes []Writes `json:"writes,omitempty"`
	// Relays tell which key is which shard, in order of preference.
	Relays []Peer `json:"relays,omitempty"`
	// Certificates are the client's identity at the relays.
	Certificates identity.Files `json:"certificates,omitzero"`
}

// Writes are a steady stream of writes to one service.
type Writes struct {
	// Service is one of Services, and has writes.
	Service string `json:"service"`
	// Unitization is the service's, Shards its number of shards.
	Unitization string `json:"unitization"`
	Shards      int    `json:"shards"`
	// Header carries the user's id, a decimal number of which the remainder by Shards is the shard. Empty for one shard.
	Header string `json:"header,omitempty"`
	// Rate is writes a second for each shard. Default 1.
	Rate float64 `json:"rate,omitempty"`
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
	for i, w := range c.Writes {
		field := func(name string) string { return fmt.Sprintf("writes[%d].%s", i, name) }
		errs = append(errs, process.Required(field("unitization"), w.Unitization))
		switch {
		case !slices.Contains(c.Services, w.Service):
			errs = append(errs, fmt.Errorf("%s: %q is not among services", field("service"), w.Service))
		case services()[w.Service].write == nil:
			errs = append(errs, fmt.Errorf("%s: %q has no writes", field("service"), w.Service))
		}
		if w.Shards < 1 || w.Shards > maxShards {
			errs = append(errs, fmt.Errorf("%s: %d is not between 1 and %d", field("shards"), w.Shards, maxShards))
		}
		if w.Header == "" && w.Shards > 1 {
			errs = append(errs, fmt.Errorf("%s: must not be empty where there is more than one shard", field("header")))
		}
		if w.Rate < 0 || w.Rate > maxWriteRate {
			errs = append(errs, fmt.Errorf("%s: %g is not between 0 (the default, 1) and %d writes a second for each shard",
				field("rate"), w.Rate, maxWriteRate))
		}
	}
	errs = append(errs, validatePeers("relays", c.Relays))
	if len(c.Writes) > 0 {
		errs = append(errs, atLeastOne("relays", c.Relays), c.Certificates.Validate("certificates"))
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

func (w *Writes) rate() float64 {
	if w.Rate == 0 {
		return 1
	}
	return w.Rate
}

// patience is how long refused writes are tried again: so much shorter than the deadline that the last try has an
// answer.
func (c *LoadConfig) patience() time.Duration { return c.deadline() * 3 / 4 }

func (c *LoadConfig) deadline() time.Duration {
	if c.Deadline == nil {
		return DefaultDeadline
	}
	return c.Deadline.Duration
}
