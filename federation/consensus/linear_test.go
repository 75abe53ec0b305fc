package consensus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// registerOp is one operation on one register.
type registerOp struct {
	Key   string
	Write bool
	Value string // written
}

// registerModel says which histories a set of registers may have. An output is the value that was read, or the value
// that a write replaced; nil for a write whose outcome is unknown.
var registerModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			k := op.Input.(registerOp).Key
			byKey[k] = append(byKey[k], op)
		}
		var parts [][]porcupine.Operation
		for _, p := range byKey {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		op := input.(registerOp)
		if !op.Write {
			return output.(string) == state.(string), state
		}
		return output == nil || output.(string) == state.(string), op.Value
	},
}

// recorder is the clients of a cluster and what they saw.
type recorder struct {
	c  *cluster
	mu sync.Mutex
	// alive guards the members' nodes against being read while one is started again.
	alive   sync.RWMutex
	history []porcupine.Operation
	begin   time.Time
	ok      int
	through int // reads that a follower asked the leader for
}

func (r *recorder) record(client int, in registerOp, out any, call, ret time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, porcupine.Operation{
		ClientId: client, Input: in, Output: out, Call: int64(call), Return: int64(ret)})
	if ok {
		r.ok++
	}
}

// client writes and reads at random members until ctx ends. A failed read says nothing; a write of unknown outcome may
// take effect until the end of time.
func (r *recorder) client(ctx context.Context, id int) {
	rnd := rand.New(rand.NewPCG(uint64(id), 3))
	for n := 0; ctx.Err() == nil; n++ {
		op := registerOp{Key: fmt.Sprint("k", rnd.IntN(4)), Write: rnd.IntN(2) == 0, Value: fmt.Sprint(id, "-", n)}
		m := r.c.members[rnd.IntN(len(r.c.members))]
		r.alive.RLock()
		node, machine := m.node, m.machine
		if rnd.IntN(4) > 0 { // mostly at the leader, if this one knows it
			if leader, _, _ := node.Leader(); leader != "" {
				i := slices.IndexFunc(r.c.members, func(m *member) bool { return m.id == leader })
				node, machine = r.c.members[i].node, r.c.members[i].machine
			}
		}
		r.alive.RUnlock()
		opCtx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		call := time.Since(r.begin)
		if op.Write {
			_, former, err := node.Propose(opCtx, command{op.Key, op.Value}.encode())
			switch {
			case err == nil:
				r.record(id, op, string(former), call, time.Since(r.begin), true)
			case errors.Is(err, ErrOutcomeUnknown):
				r.record(id, op, nil, call, 1<<62, false)
			case !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrNoQuorum):
				r.c.t.Errorf("propose: %v", err)
			}
		} else {
			op.Value = ""
			if r.read(opCtx, node) == nil {
				r.record(id, op, machine.get(op.Key), call, time.Since(r.begin), true)
			}
		}
		cancel()
		if rnd.IntN(8) == 0 {
			time.Sleep(time.Duration(rnd.IntN(10)) * time.Millisecond)
		}
	}
}

// read returns when a linearizable read at that node may look at its machine; one that does not lead asks the leader.
func (r *recorder) read(ctx context.Context, node *Node) error {
	leader, _, _ := node.Leader()
	if node.IsLeader() || leader == "" {
		_, err := node.ReadIndex(ctx)
		return err
	}
	r.alive.RLock()
	at := r.c.members[slices.IndexFunc(r.c.members, func(m *member) bool { return m.id == leader })].node
	r.alive.RUnlock()
	index, err := node.ReadThrough(ctx, leader, at.ReadIndex)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.through++
	r.mu.Unlock()
	return node.WaitApplied(ctx, index)
}

func (r *recorder) answered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ok
}

// narrowed returns a history that is linearizable if and only if that one is, and found out sooner: a busy machine makes
// many a write whose outcome is unknown, and each doubles what there is to try. All that are written differ, and each
// answer names the value that was read or replaced. So a write that nobody saw can be left out: it may come last. One
// that somebody saw came before his answer.
func narrowed(history []porcupine.Operation) []porcupine.Operation {
	seen := map[registerOp]int64{} // writes, and when the first answer came that names them
	for _, op := range history {
		if value, ok := op.Output.(string); ok {
			w := registerOp{op.Input.(registerOp).Key, true, value}
			if first, known := seen[w]; !known || op.Return < first {
				seen[w] = op.Return
			}
		}
	}
	var all []porcupine.Operation
	for _, op := range history {
		if op.Output == nil {
			first, known := seen[op.Input.(registerOp)]
			if !known {
				continue
			}
			op.Return = max(first, op.Call)
		}
		all = append(all, op)
	}
	return all
}

func (r *recorder) check() {
	result, _ := porcupine.CheckOperationsVerbose(registerModel, narrowed(r.history), limit)
	r.c.t.Logf("%d operations, %d of them answered, %d reads through followers: %v", len(r.history), r.ok, r.through, result)
	if result != porcupine.Ok {
		r.c.t.Errorf("history is not linearizable: %v", result)
	}
}

// Writes and reads stay linearizable while leaders are killed, cut off, and lose what they did not sync.
func TestLinearizableUnderFaults(t *testing.T) {
	c := newCluster(t, 5, func(_ int, cfg *Config) {
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 200, 50, 200*time.Millisecond
	})
	c.leader()
	r := &recorder{c: c, begin: time.Now()}
	length := 5 * time.Second
	if testing.Short() {
		length = 2 * time.Second
	}
	const enough = 100 // answers; a busy machine takes longer for them
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var clients sync.WaitGroup
	for id := range 6 {
		clients.Go(func() { r.client(ctx, id) })
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	faults := 0
	for began := time.Now(); time.Since(began) < length || r.answered() < enough && ctx.Err() == nil; {
		time.Sleep(500 * time.Millisecond)
		victim := c.members[rnd.IntN(5)]
		for _, m := range c.members {
			if m.node.IsLeader() && rnd.IntN(3) > 0 {
				victim = m
			}
		}
		faults++
		switch rnd.IntN(3) {
		case 0:
			c.links.isolate(victim.id)
			time.Sleep(time.Duration(300+rnd.IntN(500)) * time.Millisecond)
			c.links.set(nil)
		case 1:
			victim.node.TransferLeadership(timeout(t, 2*time.Second), "")
		default:
			victim.fs.(*memFS).powerCut(rnd)
			c.stop(victim)
			time.Sleep(time.Duration(rnd.IntN(400)) * time.Millisecond)
			r.alive.Lock()
			c.start(victim)
			r.alive.Unlock()
		}
	}
	cancel()
	clients.Wait()
	t.Logf("%d faults", faults)
	if r.ok < enough {
		t.Errorf("only %d operations were answered", r.ok)
	}
	r.check()
	// All come to hold the same.
	l, index := c.put("end", "1")
	for _, m := range c.members {
		if err := m.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range c.members {
		for k := range 4 {
			key := fmt.Sprint("k", k)
			if got, want := m.machine.get(key), l.machine.get(key); got != want {
				t.Errorf("%s holds %s=%q, the leader %q", m.id, key, got, want)
			}
		}
	}
}
