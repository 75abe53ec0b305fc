package feed

import (
	"fmt"
	"math/bits"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// digests are the seals of a set of live records by bucket (rule 15): a reader states those of its copy when it opens a
// feed, and a reset leaves out the buckets in which it has the same. Their number is a power of two. What bucket a
// record is in follows from kind and key alone.
type digests []Seal

// mostBuckets bounds what an open carries: 60 KB.
const mostBuckets = 4096

// bucketsFor is how many buckets suit a number of records.
func bucketsFor(records, each int) int {
	n := (records + each - 1) / each
	return min(1<<bits.Len(uint(max(n, 1)-1)), mostBuckets)
}

func validBuckets(n int) bool { return n > 0 && n <= mostBuckets && n&(n-1) == 0 }

// bucket is the one of n that the record's key falls into.
func (r *Record) bucket(n int) int { return int(r.place() & uint64(n-1)) }

// add counts a live record in.
func (d digests) add(r *Record, broken breakage) {
	share := r.mix()
	if broken.has(digestCoversAt) && r.Value != nil {
		share += Seal(scramble(r.At.Incarnation ^ scramble(r.At.Seq)))
	}
	d[r.bucket(len(d))] += share
}

// digestsOf are those of the records that a filter holds.
func digestsOf(records []*Record, f Filter, n int, broken breakage) digests {
	d := make(digests, n)
	for _, r := range records {
		if f.Matches(r.Kind, r.Key) {
			d.add(r, broken)
		}
	}
	return d
}

// digests are those of the log's records that a filter holds. The lock is held.
func (l *Log) digests(n int, f Filter) digests {
	d := make(digests, n)
	for r := l.table.root.next; r != &l.table.root; r = r.next {
		if f.Matches(r.Kind, r.Key) {
			d.add(&r.Record, l.opts.broken)
		}
	}
	return d
}

// proto names the buckets that are not empty.
func (d digests) proto() []*feedpb.Digest {
	var out []*feedpb.Digest
	for bucket, seal := range d {
		if seal != 0 {
			out = append(out, &feedpb.Digest{Bucket: uint32(bucket), Seal: uint64(seal)})
		}
	}
	return out
}

// digestsFrom reads n buckets; nil: none were given.
func digestsFrom(given []*feedpb.Digest, n uint32) (digests, error) {
	switch {
	case n == 0 && len(given) == 0:
		return nil, nil
	case n > mostBuckets || !validBuckets(int(n)):
		return nil, fmt.Errorf("%w: buckets: %d: must be a power of two, at most %d", errMalformed, n, mostBuckets)
	}
	d := make(digests, n)
	for _, g := range given {
		if b := g.GetBucket(); b >= n || d[b] != 0 || g.GetSeal() == 0 {
			return nil, fmt.Errorf("%w: digest of bucket %d of %d: out of range, twice or empty", errMalformed, b, n)
		}
		d[g.GetBucket()] = Seal(g.GetSeal())
	}
	return d, nil
}

// keep leaves out of a reset what its reader has: the buckets in which the reader's digests are those of the batch. A
// batch that keeps a bucket needs no tombstones: who gets it raises its floor to the batch's end.
func (b *outBatch) keep(theirs digests, broken breakage) {
	ours := digestsOf(b.Records, Filter{}, len(theirs), broken)
	b.kept = make(digests, len(theirs))
	keeps := false
	for bucket, seal := range ours {
		if seal != 0 && seal == theirs[bucket] {
			b.kept[bucket], keeps = seal, true
		}
	}
	if !keeps {
		b.kept = nil
		return
	}
	different := make([]*Record, 0, 16)
	for _, r := range b.Records {
		if r.Value != nil && b.kept[r.bucket(len(b.kept))] == 0 {
			different = append(different, r)
		}
	}
	b.Records = different
}

// keeps says whether a batch that is applied to the log leaves the record where it is.
func (b *batch) keeps(r *Record) bool {
	return r.Value != nil && b.kept[r.bucket(len(b.kept))] != 0 && b.filter.Matches(r.Kind, r.Key)
}

// sameKept says whether the copy has, now, what the batch says that it keeps (rule 15), and the seal of that. The
// log's lock is held.
func (l *Log) sameKept(b *batch) (Seal, bool) {
	var sum Seal
	same := true
	mine := l.digests(len(b.kept), b.filter)
	for bucket, seal := range b.kept {
		if seal != 0 {
			sum += mine[bucket]
			same = same && mine[bucket] == seal
		}
	}
	return sum, same || l.opts.broken.has(keptNotCompared)
}
