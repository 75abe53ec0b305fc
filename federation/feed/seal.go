package feed

import (
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// Seal is a digest of a set of live records (rule 19): the sum of a 64-bit mix of each record's kind, key and value
// hash, so it is kept up incrementally and does not depend on order or positions. It finds mistakes, not forgeries.
type Seal uint64

func (s Seal) String() string { return fmt.Sprintf("%016x", uint64(s)) }

// hashValue is Record.Hash of a value.
func hashValue(value []byte) uint64 { return xxhash.Sum64(value) }

// mix is the record's share of a Seal; a tombstone has none.
func (r *Record) mix() Seal {
	if r.Value == nil {
		return 0
	}
	return Seal(scramble(r.place() ^ scramble(r.Hash+0x9e3779b97f4a7c15)))
}

// place is a hash of what names the record.
func (r *Record) place() uint64 {
	return scramble(xxhash.Sum64String(r.Key) ^ scramble(xxhash.Sum64String(r.Kind)))
}

// scramble is the finalizer of splitmix64: a bijection in which each bit of x changes half of the bits of the result.
func scramble(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
