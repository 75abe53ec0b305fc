package feed

import "time"

// incarnationBits is how many low bits of an incarnation are random; the others are milliseconds of Unix time.
const incarnationBits = 20

// NextIncarnation is the incarnation that a writer takes over with (rule 1): above the present time, above the last
// incarnation that the writer itself used and above the highest that it ever heard of; the low 20 bits come from rnd,
// so that two writers that know nothing of each other do not take the same. The caller persists it before it uses it.
func NextIncarnation(nowUnixMs int64, used, heard, rnd uint64) uint64 {
	high := max(uint64(max(nowUnixMs, 0)), used>>incarnationBits, heard>>incarnationBits) + 1
	return high<<incarnationBits | rnd&(1<<incarnationBits-1)
}

// IncarnationTime is the time by which an incarnation of NextIncarnation was taken.
func IncarnationTime(incarnation uint64) time.Time {
	return time.UnixMilli(int64(incarnation >> incarnationBits))
}
