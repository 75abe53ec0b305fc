package sim

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
)

// outcomeOf is what came of one run.
type outcomeOf struct {
	schedule   schedule
	simulated  time.Duration
	real       time.Duration
	violations []string
	counts     map[string]int
	journal    string
	operations []porcupine.Operation
	history    porcupine.CheckResult
}

const clientsAtOnce = 4

// patience is how long a run may take in real time. It takes some 20 s, and some minutes under the race detector.
const patience = 15 * time.Minute

// simulate runs a schedule in a bubble of its own.
func simulate(t *testing.T, s schedule, p plant) (o outcomeOf) {
	t.Helper()
	o.schedule = s
	began := time.Now()
	// In the bubble time stands still while anybody is busy, so who spins there is found by the clock outside.
	defer time.AfterFunc(patience, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("seed %d: the run does not end: its time stands still, or it is far too slow", s.Seed))
	}).Stop()
	if p.during != nil {
		defer p.during()()
	}
	var c *clients
	own, leaked := "", ""
	defer func() { o.leaked(leaked) }()
	func() {
		defer func() { leaked = leftovers(recover(), own) }()
		synctest.Test(t, func(t *testing.T) {
			own = bubble()
			defer time.AfterFunc(2*s.Length+time.Hour, func() {
				panic(fmt.Sprintf("seed %d: the run does not end: somebody waits for ever", s.Seed))
			}).Stop()
			e := newEstate(t, s.Seed, s.Units, p)
			c = &clients{estate: e}
			e.clients = c
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var busy sync.WaitGroup
			busy.Go(func() { e.suffer(ctx, s) })
			busy.Go(func() { e.hearings.listen(ctx, e) })
			busy.Go(func() {
				if s.Units || p.name == "" || p.declared {
					e.declare(ctx)
				}
				if s.Units {
					e.operate(ctx)
				}
			})
			administered := make(chan struct{})
			go func() {
				defer close(administered)
				e.administer(ctx, s, c)
			}()
			for id := range clientsAtOnce {
				busy.Go(func() { c.run(ctx, id) })
			}
			e.until(s.Length - settles/2)
			if e.oracle.quiet() {
				e.carriedOut(administered)
			}
			if e.oracle.quiet() {
				e.settle(ctx)
			}
			cancel()
			busy.Wait()
			<-administered
			e.clock.Lock()
			e.still = true
			e.clock.Unlock()
			if e.oracle.quiet() {
				last, done := context.WithTimeout(context.Background(), time.Minute)
				c.settled(last)
				done()
				e.agree()
				e.voters()
				if s.Units || p.name == "" || p.declared {
					e.back()
				}
				if s.Units {
					e.opened()
				}
				e.oracle.feeds.settled(settles / 2)
			}
			o.simulated = e.now()
			e.stop()
			e.stores.judge(e.oracle)
			e.oracle.turns.judge(e.oracle)
			o.counts, o.violations = maps.Clone(e.oracle.counts), e.oracle.violations
			o.tally(e)
			o.counts["operations answered"] = c.told
			o.counts["operations"] = len(c.history)
			o.journal, o.operations = e.journal.String(), c.history
		})
	}()
	if o.history = c.judge(20 * time.Second); o.history == porcupine.Illegal {
		o.violations = append(o.violations, "the history of the registers is not linearizable")
	}
	o.real = time.Since(began)
	return o
}

// tally adds what the disks and the network count themselves.
func (o *outcomeOf) tally(e *estate) {
	disks := []*disk{}
	for _, s := range e.servers {
		disks = append(disks, s.disk)
	}
	for _, p := range e.programs {
		if p.disk != nil {
			disks = append(disks, p.disk)
		}
	}
	for _, d := range disks {
		d.set(func(d *disk) {
			o.counts["disk: writes that power cuts took"] += d.dropped
			o.counts["disk: writes that power cuts tore"] += d.torn
			o.counts["disk: writes refused for lack of room"] += d.refused
		})
	}
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	o.counts["network: connections that broke"] += e.net.breaks
	o.counts["network: segments lost"] += e.net.lost
}

// carriedOut waits for what an operator is about, which must end after the last fault.
func (e *estate) carriedOut(administered <-chan struct{}) {
	select {
	case <-administered:
	case <-e.oracle.found:
	case <-time.After(settles):
		e.oracle.violated("an operator's order is not carried out %s after the last fault", settles+settles/2)
	}
}

// until waits until so much time has passed, or something was found.
func (e *estate) until(at time.Duration) {
	select {
	case <-e.oracle.found:
	case <-time.After(at - e.now()):
	}
}

// settle sees that the estate is whole again some time after the last fault: every server takes a write.
func (e *estate) settle(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, settles/2)
	defer cancel()
	rnd := rand.New(rand.NewPCG(e.seed, 6))
	for i, name := range centers {
		s := e.servers[name]
		one := &client{clients: &clients{estate: e}, id: -1, rnd: rnd, author: author{rnd, e.skew}, known: map[string]known{}}
		key := "settled"
		written := func() bool {
			one.read(within, s, key)
			seen, ok := one.known[key]
			if !ok {
				return false
			}
			one.write(within, s, key, seen, i)
			is, ok := one.known[key]
			return ok && is.value == fmt.Sprintf("-1/%d", i)
		}
		if !await(within, 100*time.Millisecond, written) {
			e.oracle.violated("no write through %s is answered %s after the last fault", name, settles)
			return
		}
	}
}

// agree sees that all servers have the same state.
func (e *estate) agree() {
	states := map[string][]byte{}
	same := func() bool {
		clear(states)
		for _, name := range centers {
			l := e.servers[name].present()
			if l == nil {
				return false
			}
			s, err := l.core.Backend().State().Snapshot()
			if err != nil {
				return false
			}
			var b bytes.Buffer
			_, err = s.WriteTo(&b)
			s.Release()
			if err != nil {
				return false
			}
			states[name] = b.Bytes()
			if !bytes.Equal(states[name], states[centers[0]]) {
				return false
			}
		}
		return true
	}
	within, cancel := context.WithTimeout(context.Background(), settles/2)
	defer cancel()
	if !await(within, 200*time.Millisecond, same) {
		e.oracle.violated("the servers do not come to the same state")
	}
}

// voters sees that all servers have a vote again.
func (e *estate) voters() {
	within, cancel := context.WithTimeout(context.Background(), settles)
	defer cancel()
	all := await(within, time.Second, func() bool {
		l := e.leader()
		return l != nil && len(l.core.Node().Status().Voters) == len(centers)
	})
	if !all {
		e.oracle.violated("not every server has its vote back %s after the last fault", settles)
	}
}
