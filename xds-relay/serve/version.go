package serve

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// version is the hash over the exact set that the stream asks for (rule 6), behind the highest since in it: hashes have
// no order, epochs have one (rule 7). The table's read lock is held.
func (s *sotw) version(sub *subscription) string {
	since, sum := s.weighed(sub)
	out := append(strconv.AppendUint(make([]byte, 0, 40), since, 10), '.')
	return string(hex.AppendEncode(out, binary.BigEndian.AppendUint64(nil, sum)))
}

// weighed is the highest since of the exact set that the stream asks for, and the sum of its weights. The table's read
// lock is held.
func (s *sotw) weighed(sub *subscription) (since, sum uint64) {
	sh := s.table.shelves[sub.kind.url]
	switch {
	case s.cfg.faults.versionWithoutSet:
		return 0, sh.sum
	case len(sub.kept) > 0:
		for _, res := range sub.sent {
			since, sum = max(since, res.since), sum+res.weight
		}
	case !sub.wildcard && sub.set != nil:
		return sub.set.since, sub.set.sum
	case sub.wildcard:
		since, sum = sh.highest(), sh.sum
		if sub.set == nil {
			break
		}
		for _, name := range sub.set.names {
			if e := sh.entries[name]; !e.live {
				since, sum = max(since, e.res.since), sum+e.res.weight
			}
		}
	}
	return since, sum
}

// sinceOf is the since of a version that a client shows; 0 for what no relay of this kind wrote, so that versions of
// other servers, garbage, and versions from before there were epochs say nothing.
func sinceOf(version string) uint64 {
	first, sum, ok := strings.Cut(version, ".")
	if !ok || len(sum) != 16 || strings.Trim(sum, "0123456789abcdef") != "" {
		return 0
	}
	since, err := strconv.ParseUint(first, 10, 64)
	if err != nil || strconv.FormatUint(since, 10) != first {
		return 0
	}
	return since
}
