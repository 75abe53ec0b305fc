package sim

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
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

// simulate runs a schedule in a bubble of its own.
func simulate(t *testing.T, s schedule, p plant) (o outcomeOf) {
	t.Helper()
	o.schedule = s
	began := time.Now()
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
			e := newEstate(t, s.Seed, s.Units, p)
			c = &clients{estate: e}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var busy sync.WaitGroup
			busy.Go(func() { e.suffer(ctx, s) })
			if s.Units {
				busy.Go(func() {
					e.declare(ctx)
					e.operate(ctx)
				})
			}
			for id := range clientsAtOnce {
				busy.Go(func() { c.run(ctx, id) })
			}
			e.until(s.Length - settles/2)
			if e.oracle.quiet() {
				e.settle(ctx)
			}
			cancel()
			busy.Wait()
			e.clock.Lock()
			e.still = true
			e.clock.Unlock()
			if e.oracle.quiet() {
				last, done := context.WithTimeout(context.Background(), time.Minute)
				c.settled(last)
				done()
				e.agree()
				e.voters()
				e.oracle.feeds.settled(settles / 2)
			}
			o.simulated = e.now()
			e.stop()
			e.stores.judge(e.oracle)
			o.counts, o.violations = maps.Clone(e.oracle.counts), e.oracle.violations
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
