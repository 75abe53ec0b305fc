package model

import (
	"encoding/json"
	"slices"

	"pentad.dev/pentad/federation/feed"
)

// KindCluster is the kind of the records of Clusters in the intent feed: their values are JSON.
const KindCluster = "Cluster"

// Declared follows, in the intent feed, which Clusters are declared, for who holds their feeds: the feeds of a Cluster that
// was deleted are withdrawn for good. Of one that was never declared nothing is said: its agent may be earlier than its
// Cluster, and who was restored from a backup may not know it yet.
type Declared struct {
	// uids by the names of those that are declared.
	uids map[string]string
	// deleted are those that were declared and are not any more.
	deleted map[string]bool
}

// NewDeclared begins with Clusters that are known to have been deleted before.
func NewDeclared(deleted []string) *Declared {
	d := &Declared{uids: map[string]string{}, deleted: map[string]bool{}}
	for _, name := range deleted {
		d.deleted[name] = true
	}
	return d
}

// Deleted says that a Cluster was declared, and is not.
func (d *Declared) Deleted(cluster string) bool { return d.deleted[cluster] }

// Knows says that a Cluster is declared.
func (d *Declared) Knows(cluster string) bool {
	_, known := d.uids[cluster]
	return known
}

// UID tells the Cluster of that name that is declared from others before it; empty: none is.
func (d *Declared) UID(cluster string) string { return d.uids[cluster] }

// Any says that some Cluster is declared at all.
func (d *Declared) Any() bool { return len(d.uids) > 0 }

// Apply takes a batch of the intent feed, and says, sorted, which Clusters were deleted in it, those too that were declared
// anew since, and which ones are declared that were deleted before.
func (d *Declared) Apply(b feed.Batch) (deleted, again []string) {
	named := map[string]bool{}
	for _, r := range b.Records {
		if r.Kind != KindCluster {
			continue
		}
		uid := ""
		if r.Value != nil {
			named[r.Key] = true
			uid = uidOf(r.Value)
		}
		was, known := d.uids[r.Key]
		switch {
		case r.Value == nil && known, known && was != uid:
			deleted = append(deleted, r.Key)
		}
		d.put(r.Key, uid, r.Value != nil)
		if r.Value != nil && (d.deleted[r.Key] || known && was != uid) {
			again = append(again, r.Key)
			delete(d.deleted, r.Key)
		}
	}
	if b.Reset { // what it does not name is gone
		for name := range d.uids {
			if !named[name] {
				d.put(name, "", false)
				deleted = append(deleted, name)
			}
		}
	}
	slices.Sort(deleted)
	slices.Sort(again)
	return deleted, again
}

func (d *Declared) put(name, uid string, declared bool) {
	if declared {
		d.uids[name] = uid
		return
	}
	if _, known := d.uids[name]; known {
		d.deleted[name] = true
	}
	delete(d.uids, name)
}

// uidOf is empty for what cannot be decoded: nothing is withdrawn for that.
func uidOf(value []byte) string {
	var object struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
	}
	if json.Unmarshal(value, &object) != nil {
		return ""
	}
	return object.Metadata.UID
}
