package sim

import (
	"errors"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// disk is a file system in memory that forgets at a power cut what was not synced, in whole or in torn sectors. It can
// be slow, hang, be full, and lie.
type disk struct {
	mu      sync.Mutex
	files   map[string]*file // by folder and name
	claimed map[string]bool
	life    int // counts power cuts; a handle of an earlier life is dead
	alive   chan struct{}
	hung    chan struct{} // nil unless it hangs; closed when it no longer does
	full    bool
	fails   bool // syncs fail
	slow    time.Duration
	syncs   int
	names   []named // changes of folders that were not synced
	// What power cuts took: writes, and of these those of which a part stayed; and what did not fit.
	dropped, torn, refused int
	// early names files whose syncs return before they are done: a planted bug.
	early func(name string) bool
}

// file is one file: what a reader sees, what survives a power cut, and the writes between the two.
type file struct {
	now, durable []byte
	pending      []written
	entry        bool // the folder's entry survives a power cut
}

type written struct {
	off  int64
	data []byte
}

var errPowerCut = errors.New("power was cut")

// syncTakes is a good disk's.
const syncTakes = time.Millisecond

func newDisk() *disk {
	return &disk{files: map[string]*file{}, claimed: map[string]bool{}, alive: make(chan struct{}), slow: syncTakes}
}

func key(dir, name string) string { return dir + "\x00" + name }

// powerCut makes every handle dead and loses what was not synced: of each unsynced write some sectors survive.
func (d *disk) powerCut(rnd *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
	clear(d.claimed)
	close(d.alive)
	d.alive = make(chan struct{})
	d.forgetNames(rnd)
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		f := d.files[name]
		if !f.entry && rnd.IntN(2) == 0 {
			delete(d.files, name)
			continue
		}
		content := slices.Clone(f.durable)
		if _, base, _ := strings.Cut(name, "\x00"); d.early != nil && d.early(base) {
			for _, w := range f.pending[:rnd.IntN(len(f.pending)+1)] {
				content = put(content, w.off, w.data)
			}
			f.pending = nil
		}
		for _, w := range f.pending {
			sectors, stay := 0, 0
			for at := 0; at < len(w.data); {
				end := min(at+512-int((w.off+int64(at))%512), len(w.data))
				sectors++
				if rnd.IntN(2) == 0 {
					content = put(content, w.off+int64(at), w.data[at:end])
					stay++
				}
				at = end
			}
			if stay < sectors {
				d.dropped++
			}
			if stay > 0 && stay < sectors {
				d.torn++
			}
		}
		f.now, f.durable, f.pending, f.entry = content, slices.Clone(content), nil, true
	}
}

// forgetNames takes back changes of folders that were not synced: of each folder's all behind some point.
func (d *disk) forgetNames(rnd *rand.Rand) {
	keep := map[string]int{}
	for _, n := range d.names {
		keep[n.dir]++
	}
	for _, dir := range slices.Sorted(maps.Keys(keep)) {
		keep[dir] = rnd.IntN(keep[dir] + 1)
	}
	lost := slices.DeleteFunc(d.names, func(n named) bool {
		keep[n.dir]--
		return keep[n.dir] >= 0
	})
	for _, n := range slices.Backward(lost) {
		for name, f := range n.before {
			if d.files[name] = f; f == nil {
				delete(d.files, name)
			}
		}
	}
	d.names = nil
}

// wipe is a new disk in the place of this one. Nobody may be using it.
func (d *disk) wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.files)
	d.names = nil
}

func put(b []byte, off int64, p []byte) []byte {
	if end := int(off) + len(p); end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[off:], p)
	return b
}

// hang has everything that writes wait until it is let, or the power is cut.
func (d *disk) hang() (let func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hung != nil {
		return func() {}
	}
	hung := make(chan struct{})
	d.hung = hung
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.hung = nil
		close(hung)
	})
}

// set changes how the disk is.
func (d *disk) set(change func(*disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// takes waits as long as an operation takes.
func (d *disk) takes(life int, long time.Duration) error {
	d.mu.Lock()
	hung, alive, now := d.hung, d.alive, d.life
	d.mu.Unlock()
	if life != now {
		return errPowerCut
	}
	if hung == nil && long == 0 || behindLocks() {
		return nil
	}
	if hung != nil {
		select {
		case <-hung:
		case <-alive:
			return errPowerCut
		}
	}
	if long > 0 {
		timer := time.NewTimer(long)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-alive:
			return errPowerCut
		}
	}
	return nil
}

// behindLocks says whether the log holds a sync.Mutex of its own that another goroutine may wait for: then the disk is
// quick, since simulated time stands still for as long as anybody waits for one. It does when it makes the next segment,
// and when it deletes from its ends; not when it stores.
func behindLocks() bool {
	var stack [32]uintptr
	frames := runtime.CallersFrames(stack[:runtime.Callers(3, stack[:])])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "github.com/hashicorp/raft-wal.(*WAL).") &&
			!strings.HasSuffix(frame.Function, ".StoreLogs") && !strings.HasSuffix(frame.Function, ".SetUint64") &&
			!strings.HasSuffix(frame.Function, ".Set") {
			return true
		}
		if !more {
			return false
		}
	}
}
