package feed

import (
	"slices"
	"strings"
)

// Filter names the part of a feed that a copy holds: rule 16 of the design. The zero Filter is everything. Both lists
// are sorted and without duplicates, as NewFilter makes them. Filters are values and are never modified.
type Filter struct {
	// Kinds, when not empty, are the only kinds held.
	Kinds []string
	// Keys, when not empty, are the only keys held. Keys are paths: an entry holds the key itself and what lies below it,
	// so "orders" holds "orders" and "orders/slice-1".
	Keys []string
}

// NewFilter returns the canonical Filter of kinds and keys.
func NewFilter(kinds, keys []string) Filter {
	canonical := func(s []string) []string {
		if len(s) == 0 {
			return nil
		}
		s = slices.Clone(s)
		slices.Sort(s)
		return slices.Compact(s)
	}
	return Filter{Kinds: canonical(kinds), Keys: canonical(keys)}
}

// IsZero says whether f holds everything.
func (f Filter) IsZero() bool { return len(f.Kinds) == 0 && len(f.Keys) == 0 }

// Equal says whether f and g hold the same by the same words.
func (f Filter) Equal(g Filter) bool {
	return slices.Equal(f.Kinds, g.Kinds) && slices.Equal(f.Keys, g.Keys)
}

// Matches says whether f holds the key.
func (f Filter) Matches(kind, key string) bool {
	if len(f.Kinds) > 0 {
		if _, ok := slices.BinarySearch(f.Kinds, kind); !ok {
			return false
		}
	}
	return len(f.Keys) == 0 || f.matchesKey(key)
}

func (f Filter) matchesKey(key string) bool {
	if _, ok := slices.BinarySearch(f.Keys, key); ok {
		return true
	}
	for i := strings.LastIndexByte(key, '/'); i >= 0; i = strings.LastIndexByte(key[:i], '/') {
		if _, ok := slices.BinarySearch(f.Keys, key[:i]); ok {
			return true
		}
	}
	return false
}

// Covers says whether everything that g holds, f holds too.
func (f Filter) Covers(g Filter) bool {
	if len(f.Kinds) > 0 {
		if len(g.Kinds) == 0 {
			return false
		}
		for _, k := range g.Kinds {
			if _, ok := slices.BinarySearch(f.Kinds, k); !ok {
				return false
			}
		}
	}
	if len(f.Keys) == 0 {
		return true
	}
	return len(g.Keys) > 0 && !slices.ContainsFunc(g.Keys, func(k string) bool { return !f.matchesKey(k) })
}

func (f Filter) String() string {
	if f.IsZero() {
		return "everything"
	}
	return "kinds=" + strings.Join(f.Kinds, ",") + " keys=" + strings.Join(f.Keys, ",")
}
