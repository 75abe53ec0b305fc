package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/apiserver/storage"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

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
