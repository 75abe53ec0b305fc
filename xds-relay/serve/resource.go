package serve

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"pentad.dev/pentad/federation/feed"
)

// Field numbers of envoy.service.discovery.v3.DiscoveryResponse.
const (
	fieldVersion      = 1
	fieldResources    = 2
	fieldTypeURL      = 4
	fieldNonce        = 5
	fieldControlPlane = 6
	fieldErrors       = 7
)

// resource is one name's content at one time, ready to be sent: immutable, shared by all streams.
type resource struct {
	name string
	// at is the position of the commit that gave the name this content; zero if it never was in the feed.
	at feed.Position
	// frame is the resource as a field of a DiscoveryResponse; empty if there is no content.
	frame mem.BufferSlice
	size  int
	// hash of the content, and weight, which is what it adds to the version of a set that holds it.
	hash, weight uint64
	// since is the highest epoch of the ownership that the content carries; 0: none.
	since uint64
	// missing: the name does not exist; the content, if any, stands in.
	missing bool
}

func newResource(name string, body []byte, hash uint64, at feed.Position) *resource {
	r := &resource{name: name, at: at, hash: hash, weight: weigh(name, hash, false)}
	head := protowire.AppendTag(make([]byte, 0, 6), fieldResources, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(body)))
	// SliceBuffer has no reference count: the bytes are immutable and belong to the collector, so any number of
	// streams may be writing them when the resource is replaced.
	r.frame = mem.BufferSlice{mem.SliceBuffer(head), mem.SliceBuffer(body)}
	r.size = len(head) + len(body)
	return r
}

// errorSize is what a resource error takes on the wire beside the name, which is in it twice; a little more than
// enough.
const errorSize = 160

// newMissing is the answer for a name that does not exist, with what stands in for it if there is such a thing.
func newMissing(name string, body []byte, at feed.Position) *resource {
	r := &resource{name: name, at: at}
	if body != nil {
		r = newResource(name, body, hashOf(body), at)
	}
	r.missing = true
	r.size += errorSize + 2*len(name)
	r.weight = weigh(name, r.hash, true)
	return r
}

// weigh mixes name and content hash so that the sum over a set is a hash of the set: independent of order, and kept
// up to date by one subtraction and one addition for each change.
func weigh(name string, hash uint64, missing bool) uint64 {
	x := xxhash.Sum64String(name) + bits.RotateLeft64(hash*0x9e3779b97f4a7c15, 31)
	if missing {
		x ^= 0xa0761d6478bd642f
	}
	// The finalizer of MurmurHash3: every bit of the input changes half of the output.
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// body is the encoded google.protobuf.Any, nil if there is no content.
func (r *resource) body() []byte {
	if len(r.frame) == 0 {
		return nil
	}
	return r.frame[1].ReadOnlyData()
}

func hashOf(body []byte) uint64 { return xxhash.Sum64(body) }
