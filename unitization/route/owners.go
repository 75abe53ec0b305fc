package route

import (
	"fmt"
	"slices"
)

// Range is a range of shards and who owns it.
type Range struct {
	// From and To are the first and the last shard.
	From, To int
	Unit     string
	// Cells are those that take writes, by name.
	Cells  []string
	Frozen bool
	// Since is the epoch of the last change of owner, cells or Frozen.
	Since uint64
}

// Map is the compiled ownership map of a Unitization.
type Map struct {
	ranges []Range
	// index is the range by shard.
	index []uint16
}

// MapError is an ownership map that does not hold every shard exactly once, in order.
type MapError struct {
	Range int
	Value string
	Want  string
}

func (e *MapError) Error() string { return fmt.Sprintf("ranges[%d]: %s: %s", e.Range, e.Value, e.Want) }

// CompileMap takes ranges that are sorted, disjoint and hold every shard; it fails with a *MapError. It keeps copies.
func CompileMap(shards int, ranges []Range) (*Map, error) {
	if shards < 1 || shards > MaxShards {
		return nil, fmt.Errorf("shards: %d: must be 1 to %d", shards, MaxShards)
	}
	m := &Map{ranges: slices.Clone(ranges), index: make([]uint16, shards)}
	next := 0
	for i := range m.ranges {
		r := &m.ranges[i]
		value := fmt.Sprintf("%d-%d", r.From, r.To)
		switch {
		case r.From != next:
			return nil, &MapError{i, value,
				fmt.Sprintf("must begin at shard %d: ranges are sorted and disjoint, and hold every shard", next)}
		case r.To < r.From || r.To >= shards:
			return nil, &MapError{i, value, fmt.Sprintf("must end at shard %d to %d", r.From, shards-1)}
		case r.Unit == "":
			return nil, &MapError{i, value, "unit is required"}
		}
		r.Cells = slices.Clone(r.Cells)
		for next <= r.To {
			m.index[next] = uint16(i)
			next++
		}
	}
	if next != shards {
		return nil, &MapError{len(ranges), "end of the map", fmt.Sprintf("shard %d has no owner", next)}
	}
	return m, nil
}

// Shards is how many there are.
func (m *Map) Shards() int { return len(m.index) }

// Ranges are all; the caller must not change them.
func (m *Map) Ranges() []Range { return m.ranges }

// Range is the shard's, which the caller must not change; nil when there is no such shard.
func (m *Map) Range(shard int) *Range {
	if uint(shard) >= uint(len(m.index)) {
		return nil
	}
	return &m.ranges[m.index[shard]]
}

// Lookup is who owns the shard, and the cells that take its writes, which the caller must not change. The unit is empty
// when there is no such shard.
func (m *Map) Lookup(shard int) (unit string, cells []string, frozen bool, since uint64) {
	r := m.Range(shard)
	if r == nil {
		return "", nil, false, 0
	}
	return r.Unit, r.Cells, r.Frozen, r.Since
}
