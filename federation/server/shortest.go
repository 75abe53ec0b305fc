package server

import (
	"fmt"

	"pentad.dev/pentad/federation/apiserver/registry"
	"pentad.dev/pentad/unitization/permit/stream"
)

// permits is how long permits must at least be here: from a renewal that was just missed, a lost leader is noticed and
// another one elected, at the worst in a few rounds, and the next renewal's answer travels to the holder (rule 5 of intent).
func (c *Config) permits() registry.PermitBound {
	if c.adjust.ShortPermits {
		return registry.PermitBound{}
	}
	const elections, trips = 6, 2
	return registry.PermitBound{
		Least: stream.RenewEvery + elections*c.electionTimeout() + trips*c.roundTrip(),
		Why: fmt.Sprintf("a renewal each %s, %d times the servers' electionTimeout of %s, %d times their roundTrip of %s",
			stream.RenewEvery, elections, c.electionTimeout(), trips, c.roundTrip()),
	}
}

// warnOfPermits says which permits were declared when the servers' timeouts were shorter.
func (s *Core) warnOfPermits() {
	bound := s.config.permits()
	for u := range s.machine.View().Lookup().Unitizations() {
		if t := u.Spec.Permit.Duration; t != nil && t.Duration < bound.Least {
			s.log.Warn("permits are so short that the election of a leader ends them", "unitization", u.Name, "duration", t.Duration,
				"least", bound.Least, "why", bound.Why)
		}
	}
}
