package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/apiserver/storage"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// register is an object of the intent whose annotation is compared and swapped.
type register struct {
	Key   string
	Write bool
	// Expect and Value are what a write replaces and puts there; "": no object. Values are never used twice.
	Expect, Value string
}

// answer is what a client was told: the value read, or what a lost race met.
type answer struct {
	Value string
	OK    bool
}

// registers says which histories are linearizable. An answer of nil is none: whether the write was done, and when, is
// open.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			k := op.Input.(register).Key
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
		in, is := input.(register), state.(string)
		next := is
		if in.Write && is == in.Expect {
			next = in.Value
		}
		said, told := output.(answer)
		switch {
		case !told:
			return true, next
		case !in.Write:
			return said.Value == is, is
		case said.OK:
			return is == in.Expect, next
		}
		return is != in.Expect && said.Value == is, is
	},
	DescribeOperation: func(input, output any) string {
		in := input.(register)
		if !in.Write {
			return fmt.Sprintf("read %s: %v", in.Key, output)
		}
		return fmt.Sprintf("%s: %q -> %q: %v", in.Key, in.Expect, in.Value, output)
	},
}

const (
	annotation = "pentad.dev/sim"
	keys       = 4
	// answersWithin is how long a client waits.
	answersWithin = 4 * time.Second
	// thinks is how long a client pauses at most.
	thinks = 1500 * time.Millisecond
)

// clients write and read registers at whichever server, and remember what they were told.
type clients struct {
	*estate
	mu      sync.Mutex
	history []porcupine.Operation
	told    int
	// lostAt is when all servers lost their disks, 0: never; restored are the registers as the backup has them.
	lostAt   time.Duration
	restored map[string]string
}

// run is one client's life.
func (c *clients) run(ctx context.Context, id int) {
	rnd := rand.New(rand.NewPCG(c.seed, uint64(100+id)))
	one := &client{clients: c, id: id, rnd: rnd, author: author{rnd, c.skew}, known: map[string]known{}}
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprint("register-", rnd.IntN(keys))
		s := c.servers[centers[rnd.IntN(len(centers))]]
		if seen, ok := one.known[key]; ok && rnd.IntN(3) > 0 {
			one.write(ctx, s, key, seen, n)
		} else {
			one.read(ctx, s, key)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(rnd.Int64N(int64(thinks)))):
		}
	}
}

// client is one of them.
type client struct {
	*clients
	id     int
	rnd    *rand.Rand
	author author
	known  map[string]known
}

// known is what a client believes of a register.
type known struct {
	value    string
	revision uint64
}

// read reads with a linearizable read.
func (c *client) read(ctx context.Context, s *center, key string) {
	l := s.present()
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	began := c.now()
	backend := l.core.Backend()
	if !c.plant.staleReads {
		revision, err := backend.ReadRevision(ctx)
		if err != nil || backend.State().WaitRevision(ctx, revision) != nil {
			return // nothing was said
		}
	}
	value, revision := valueOf(backend.State(), key)
	if s.present() != l {
		return // the process is gone, and with it its answer
	}
	c.known[key] = known{value, revision}
	c.remember(began, register{Key: key}, answer{Value: value})
}

func valueOf(state *intent.FSM, key string) (string, uint64) {
	o, ok := state.View().Get(v1alpha1.KindCenter, key)
	if !ok {
		return "", 0
	}
	return annotated(o), o.Revision
}

func annotated(o *intent.Object) string {
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(o.Value, &object); err != nil {
		return err.Error()
	}
	return object.Annotations[annotation]
}

// write creates, replaces or deletes the object, as it was last seen.
func (c *client) write(ctx context.Context, s *center, key string, seen known, n int) {
	in := register{Key: key, Write: true, Expect: seen.value, Value: fmt.Sprintf("%d/%d", c.id, n)}
	object := &v1alpha1.Center{Spec: v1alpha1.CenterSpec{Region: "simulated"}}
	object.Name, object.Annotations = key, map[string]string{annotation: in.Value}
	var command *intentpb.Command
	l := s.present()
	switch {
	case l == nil:
		return
	case seen.revision == 0:
		command = c.author.create(object, l.core.Backend().State().View().Lookup())
	case c.rnd.IntN(8) == 0:
		in.Value = ""
		command = c.author.remove(v1alpha1.KindCenter, key, seen.revision)
	default:
		stored, ok := l.core.Backend().State().View().Get(v1alpha1.KindCenter, key)
		if !ok || stored.Revision != seen.revision {
			delete(c.known, key)
			return
		}
		c.check(json.Unmarshal(stored.Value, object))
		object.Annotations[annotation] = in.Value
		command = c.author.update(object, seen.revision)
	}
	began := c.now()
	delete(c.known, key)
	attempted := false // whether it may have been done
	for try := 0; try < 3 && ctx.Err() == nil; try++ {
		result, sure, err := c.propose(ctx, s, command)
		switch {
		case err == nil && !result.OK && !result.LostRace():
			c.oracle.violated("the write of %s was refused: %v", key, result.Errors().ToAggregate())
			return
		case err == nil:
			said := answer{OK: result.OK}
			if result.OK {
				c.known[key] = known{in.Value, result.Revision}
				if in.Value == "" {
					c.known[key] = known{}
				}
			} else if result.Current != nil {
				said.Value = annotated(result.Current)
			}
			c.remember(began, in, said)
			return
		case !sure:
			attempted = true
		}
		// The same command again, at another server: it must not be done twice.
		if c.rnd.IntN(2) == 0 {
			break
		}
		time.Sleep(time.Duration(c.rnd.Int64N(int64(time.Second))))
		s = c.servers[centers[c.rnd.IntN(len(centers))]]
	}
	if attempted {
		c.remember(began, in, nil)
	}
}

// propose proposes at a server. An error is sure when nothing was written and nothing will be.
func (c *client) propose(ctx context.Context, s *center, command *intentpb.Command) (_ intent.Result, sure bool, err error) {
	l := s.present()
	if l == nil {
		return intent.Result{}, true, errKilled
	}
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	result, err := l.core.Backend().Propose(ctx, command)
	if err == nil && s.present() != l {
		err = errKilled
	}
	return result, errors.Is(err, storage.ErrNotWritten) && s.present() == l, err
}

func (c *clients) remember(began time.Duration, in register, out any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := c.now()
	if out != nil {
		c.told++
	}
	c.history = append(c.history, porcupine.Operation{Input: in, Output: out, Call: int64(began), Return: int64(ended)})
}

// settled reads every register at every server, as the last word.
func (c *clients) settled(ctx context.Context) {
	last := &client{clients: c, known: map[string]known{}}
	for k := range keys {
		for _, name := range centers {
			last.read(ctx, c.servers[name], fmt.Sprint("register-", k))
		}
	}
}

// judge compares the history with the model. It is for the time after the bubble: it takes real time.
func (c *clients) judge(within time.Duration) porcupine.CheckResult {
	result := porcupine.Ok
	for _, history := range c.lives() {
		switch judged := judge(history, within); {
		case judged == porcupine.Illegal:
			return judged
		case judged == porcupine.Unknown:
			result = judged
		}
	}
	return result
}

func judge(all []porcupine.Operation, within time.Duration) porcupine.CheckResult {
	read := map[string]bool{"": true}
	for _, op := range all {
		read[op.Input.(register).Expect] = true
		if said, ok := op.Output.(answer); ok {
			read[said.Value] = true
			read[op.Input.(register).Value] = true
		}
	}
	// A write without an answer whose value nobody ever saw has changed nothing that anybody saw: nothing could replace
	// that value unseen.
	history := slices.DeleteFunc(all, func(op porcupine.Operation) bool {
		return op.Output == nil && !read[op.Input.(register).Value]
	})
	end := int64(0)
	for _, op := range history {
		end = max(end, op.Return)
	}
	for i := range history {
		history[i].ClientId = i // operations of one client overlap once the unknown ones last for ever
		if history[i].Output == nil {
			history[i].Return = end + 1
		}
	}
	result := porcupine.CheckOperationsTimeout(registers, history, within)
	return result
}
