package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/backup"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/server"
)

// rebuild takes all servers' disks at once, and brings the estate back from the last backup: at one server, which the
// others join. Agents, relays, stores and guards live on.
func (op *operator) rebuild(ctx context.Context, first *center, long time.Duration) {
	if op.saved == nil {
		op.backUp(ctx)
	}
	var all sync.WaitGroup
	for _, s := range op.servers {
		all.Go(func() { s.bar(true) })
	}
	all.Wait()
	if ctx.Err() != nil || op.saved == nil {
		return
	}
	for _, s := range op.servers {
		s.disk.wipe()
	}
	op.clients.lost(op.registersOf(op.saved))
	op.oracle.newLife()
	lasts(ctx, fault{For: long})
	began := op.now()
	if !op.restore(ctx, first) {
		return
	}
	first.unbar(nil)
	first.mayEnd.Store(false)
	for _, name := range centers {
		if s := op.servers[name]; s != first {
			op.admit(ctx, s)
		}
	}
	op.oracle.count("estates rebuilt from a backup")
	op.log.Info("simulation: all servers are back", "after", op.now()-began)
	op.declare(ctx)
	if op.units {
		// Where a unit without a store was, only a person can say: once the permits of before have ended.
		await(ctx, 5*time.Second, func() bool {
			name := fmt.Sprint("by-hand-", op.now())
			return op.move(ctx, author{op.rnd, op.skew}, name, v1alpha1.SwitchoverDisaster, "rz02", clusters[op.rnd.IntN(2)], 0) == v1alpha1.PhaseDone
		})
	}
}

// restore makes a server's data folder from the last backup.
func (op *operator) restore(ctx context.Context, s *center) bool {
	for ctx.Err() == nil {
		life, err := server.Restoration{Config: s.unjoined(), LongestPermit: permitT, FS: s.disk}.Restore(bytes.NewReader(op.saved))
		switch {
		case err == nil:
			op.oracle.feeds.restored(feed.Position{Incarnation: life.Incarnation, Seq: life.Revision})
			return true
		case !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, errBadDisk):
			hung := false
			if s.disk.set(func(d *disk) { hung = d.hung != nil }); !hung {
				op.oracle.violated("%s is not restored: %v", s.name, err)
				return false
			}
		}
		op.oracle.count("restores that the disk refused")
		s.disk.powerCut(s.rnd)
		s.disk.wipe()
		lasts(ctx, fault{For: time.Second})
	}
	return false
}

// unjoined is the configuration of a server that joins nobody.
func (s *center) unjoined() server.Config {
	config := s.configuration()
	config.Join = nil
	return config
}

// registersOf is what a backup holds of the registers.
func (op *operator) registersOf(file []byte) map[string]string {
	in, err := backup.Read(bytes.NewReader(file))
	op.check(err)
	f, err := intent.New(intent.Config{})
	op.check(err)
	op.check(f.Restore(in))
	op.check(in.Verify())
	values := map[string]string{}
	for k := range keys {
		key := fmt.Sprint("register-", k)
		values[key], _ = valueOf(f, key)
	}
	return values
}

// newLife forgets what was said of terms and indices: a log begins anew.
func (o *oracle) newLife() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.leaders)
	clear(o.entries)
	clear(o.applied)
	clear(o.done)
	o.turns.begin()
}

// restored sees that the intent of a new life is above all that anybody was ever shown.
func (f *feeds) restored(at feed.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if newest := f.newest[feed.IntentID]; !newest.Before(at) {
		f.oracle.violated("the intent is restored at %s, after %s", at, newest)
	}
}

// lost notes that everything was lost at this instant, and what the registers are from now on. Nothing that was written
// since the backup is there any more.
func (c *clients) lost(values map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lostAt, c.restored = c.now(), values
}

// lives are the histories before and after everything was lost. What was asked before and answered after may have been
// done in the first, and lost, and then again; what was told is of the second.
func (c *clients) lives() [][]porcupine.Operation {
	if c.lostAt == 0 {
		return [][]porcupine.Operation{slices.Clone(c.history)}
	}
	lost := int64(c.lostAt)
	var before, after []porcupine.Operation
	for key, value := range c.restored {
		if value != "" {
			restored := register{Key: key, Write: true, Value: value}
			after = append(after, porcupine.Operation{Input: restored, Output: answer{OK: true}, Call: lost, Return: lost})
		}
	}
	for _, op := range c.history {
		switch {
		case op.Return <= lost:
			before = append(before, op)
			continue
		case op.Call <= lost:
			if op.Input.(register).Write {
				open := op
				open.Output = nil
				before = append(before, open)
			}
			op.Call = lost + 1
		}
		after = append(after, op)
	}
	return [][]porcupine.Operation{before, after}
}
