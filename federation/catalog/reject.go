package catalog

import (
	"cmp"
	"maps"
	"slices"

	"pentad.dev/pentad/federation/feed"
)

// Rejection is a record that the catalog could not read. What the key held before stays in force, and so does
// everything else of the service; the feed's holders store and pass on the record all the same, so that they never
// differ.
type Rejection struct {
	Feed      feed.ID
	Kind, Key string
	// At is the record's position.
	At feed.Position
	// Reason names the field, the value and what would be right.
	Reason string
}

type recordID struct {
	feed      feed.ID
	kind, key string
}

// Rejected are the records that are rejected now, sorted: the latest record of each key, until it is replaced or
// deleted.
func (c *Catalog) Rejected() []Rejection {
	return slices.SortedFunc(maps.Values(c.rejected), func(a, b Rejection) int {
		return cmp.Or(cmp.Compare(a.Feed, b.Feed), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
	})
}

// judge keeps the list of rejections: err is what became of the record.
func (c *Catalog) judge(id feed.ID, r *feed.Record, err error) {
	key := recordID{id, r.Kind, r.Key}
	if err == nil {
		delete(c.rejected, key)
		return
	}
	c.rejected[key] = Rejection{Feed: id, Kind: r.Kind, Key: r.Key, At: r.At, Reason: err.Error()}
}
