package feed

import (
	"log/slog"
	"time"
)

// TombstonePolicy bounds how long deletions are remembered. A reader that is older than the newest forgotten deletion
// gets a reset, so the bounds trade memory against resets, never against correctness.
type TombstonePolicy struct {
	// MaxCount is the most tombstones that a log keeps; 0: 4096; negative: none.
	MaxCount int
	// MaxAge is how long a log keeps a tombstone; 0: an hour; negative: for ever.
	MaxAge time.Duration
}

// Options are what logs and sets share. The zero Options are good for production.
type Options struct {
	Tombstones TombstonePolicy
	// Now is a monotonic clock, counted from any fixed moment; nil: the process's own. Ages are measured on it.
	Now func() time.Duration
	// SaveInterval is the shortest time between two snapshots of one feed; 0: five seconds. What a restart finds may be
	// that old; it is marked stale, and brought up to date by what changed since.
	SaveInterval time.Duration
	// MaxStaged is about how many bytes of batches that are not whole yet a stream may hold; 0: 1 GiB. A feed whose batch
	// does not fit is declined on that stream.
	MaxStaged int
	// FS is the disk; nil: the operating system's.
	FS FS
	// Log hears of what an operator must know, as a corrupt snapshot; nil: discarded.
	Log *slog.Logger

	// frameBytes is about how large a frame may become, and windowFrames how many frames of one sub-stream may be under
	// way before the receiver has taken the first: they bound what a small change of one feed waits for behind a large
	// one of another. Only tests set them; 256 KiB and 8.
	frameBytes   int
	windowFrames uint64
	// bucketRecords is about how many records are sent because one of them differs (rule 15). Only tests set it; 8.
	bucketRecords int
	// broken and tamper break rules on purpose. Only tests set them.
	broken breakage
	tamper tamper
}

func (o Options) withDefaults() Options {
	if o.Tombstones.MaxCount == 0 {
		o.Tombstones.MaxCount = 4096
	}
	if o.Tombstones.MaxAge == 0 {
		o.Tombstones.MaxAge = time.Hour
	}
	if o.frameBytes == 0 {
		o.frameBytes = 256 << 10
	}
	if o.bucketRecords == 0 {
		o.bucketRecords = 8
	}
	if o.windowFrames == 0 {
		o.windowFrames = 8
	}
	if o.Now == nil {
		start := time.Now()
		o.Now = func() time.Duration { return time.Since(start) }
	}
	if o.MaxStaged == 0 {
		o.MaxStaged = 1 << 30
	}
	if o.FS == nil {
		o.FS = osFS{}
	}
	if o.SaveInterval == 0 {
		o.SaveInterval = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
