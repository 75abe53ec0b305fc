package switchover

import (
	"fmt"
	"iter"
	"maps"
	"slices"
)

// sorted goes through a map in the order of its keys: what Apply does must not hang on anything else.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

// span names a range of shards for people.
func span(from, to int) string {
	if from == to {
		return fmt.Sprint(from)
	}
	return fmt.Sprintf("%d to %d", from, to)
}
