package feed

import "net/url"

// ID names a feed: "<cluster>/<source>", or IntentID.
type ID string

// mostName is how many bytes a feed's name may have, escaped: with what is put behind it, it is a file's name.
const mostName = 240

// nameable says whether a feed of that name can be kept.
func (id ID) nameable() bool {
	return 3*len(id) <= mostName || len(url.PathEscape(string(id))) <= mostName
}

// IntentID is the feed that each server writes for itself from the replicated intent.
const IntentID ID = "intent"

// Record is one key's latest change. Records are immutable once they are in a Log; Value is shared by every holder and
// must never be modified.
type Record struct {
	Kind, Key string
	// Value is encoded once, by the writer, deterministically. Nil is a tombstone: the key was deleted.
	Value []byte
	// At is the position of the commit that wrote the record.
	At Position
	// Hash is a 64-bit hash of Value.
	Hash uint64
}

// Change is what a writer commits: a new value for a key, or its deletion when Value is nil.
type Change struct {
	Kind, Key string
	Value     []byte
}

// Batch is a consistent step of a feed from From to To, taken in one instant; it is applied whole or not at all.
type Batch struct {
	From, To Position
	// Floor is the At of the newest dropped tombstone of the sender.
	Floor Position
	// Reset says that the batch is the whole set: what it does not name is gone.
	Reset bool
	// Records are in the order of their last change, tombstones included.
	Records []*Record
}
