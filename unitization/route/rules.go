package route

import (
	"fmt"
	"strings"
)

// MaxShards is the most that a Unitization may have.
const MaxShards = 16384

// Function says how a key becomes a shard.
type Function int

const (
	// LastDigits takes the last digits of a decimal key, as many as Shards has zeros, after passing over Skip of them.
	LastDigits Function = iota + 1
	// Modulo takes the remainder of a decimal key divided by Shards.
	Modulo
)

// String is the name as in a Unitization's spec.
func (f Function) String() string {
	switch f {
	case LastDigits:
		return "LastDigits"
	case Modulo:
		return "Modulo"
	}
	return fmt.Sprintf("Function(%d)", int(f))
}

// Rules are those of one Unitization.
type Rules struct {
	Unitization string
	// Shards is 1 to MaxShards; a power of ten for LastDigits. With 1 there is no key.
	Shards int
	// Header is the metadata key or HTTP header that carries the sharding key, in lower case. Empty when Shards is 1.
	Header   string
	Function Function
	// Skip is how many of the last digits LastDigits passes over.
	Skip int
	// Overrides give single keys, as they are sent, a shard of their own.
	Overrides map[string]int
	// Services are those that the units serve; none is in two Unitizations.
	Services []Service
}

// Service is a service and what of it changes nothing.
type Service struct {
	Name string
	// Reads are as in CompileMethods.
	Reads []string
}

// RulesError is a mistake in rules. Field is the path below the rules of that Unitization.
type RulesError struct {
	Unitization, Field string
	Value              any
	Want               string
}

func (e *RulesError) Error() string {
	return fmt.Sprintf("rules of unitization %q: %s: %v: %s", e.Unitization, e.Field, e.Value, e.Want)
}

// Validate returns a *RulesError for the first mistake.
func (r Rules) Validate() error {
	wrong := func(field string, value any, want string) error {
		return &RulesError{Unitization: r.Unitization, Field: field, Value: value, Want: want}
	}
	switch {
	case r.Unitization == "":
		return wrong("unitization", `""`, "is required")
	case r.Shards < 1 || r.Shards > MaxShards:
		return wrong("shards", r.Shards, fmt.Sprintf("must be 1 to %d", MaxShards))
	}
	if err := r.validateKey(wrong); err != nil {
		return err
	}
	for key, shard := range r.Overrides {
		field := fmt.Sprintf("overrides[%q]", key)
		switch {
		case key == "":
			return wrong(field, shard, "the key must not be empty")
		case shard < 0 || shard >= r.Shards:
			return wrong(field, shard, fmt.Sprintf("must be 0 to %d", r.Shards-1))
		}
	}
	for i, s := range r.Services {
		if s.Name == "" {
			return wrong(fmt.Sprintf("services[%d].name", i), `""`, "is required")
		}
		if _, err := CompileMethods(s.Reads); err != nil {
			return fmt.Errorf("rules of unitization %q: services[%s].%w", r.Unitization, s.Name, err)
		}
	}
	return nil
}

func (r Rules) validateKey(wrong func(string, any, string) error) error {
	if r.Shards == 1 {
		return nil
	}
	switch {
	case r.Header == "" || r.Header != strings.ToLower(r.Header):
		return wrong("header", fmt.Sprintf("%q", r.Header), "must be a header's name in lower case")
	case r.Function != LastDigits && r.Function != Modulo:
		return wrong("function", r.Function, "must be LastDigits or Modulo")
	case r.Function == LastDigits && zeros(r.Shards) == 0:
		return wrong("shards", r.Shards, "must be a power of ten for LastDigits")
	case r.Skip < 0:
		return wrong("skip", r.Skip, "must not be negative")
	case r.Skip > 0 && r.Function != LastDigits:
		return wrong("skip", r.Skip, "is for LastDigits only")
	}
	return nil
}

// zeros is how many zeros a power of ten has; 0 for anything else.
func zeros(n int) int {
	count := 0
	for ; n > 1; n /= 10 {
		if n%10 != 0 {
			return 0
		}
		count++
	}
	return count
}
