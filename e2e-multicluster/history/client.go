//go:build linux

package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/identity"
)

// Config is what a client process is told, as JSON in the environment.
type Config struct {
	// First numbers the clients of this process, from here on.
	First int
	// Workers is how many clients it is.
	Workers int
	Keys    []string
	// Servers are the APIs by name.
	Servers  map[string]string
	Operator identity.Files
	// Pause is the longest time between two operations of a client.
	Pause time.Duration
	// Timeout bounds an operation.
	Timeout time.Duration
	// Stale plants a fault: reads take what the asked server has.
	Stale bool
	// Probe has the process write only, at whichever server answers, a new write every so often, not waiting for the last.
	Probe time.Duration
}

const (
	// variable holds the Config of a client process.
	variable = "PENTAD_E2E_CLIENT"
	// annotation is the register in an object.
	annotation = "e2e.pentad.dev/register"
	region     = "hangzhou"
)

// Serve is what a process does that was started as clients; in every other it returns false. It goes on until its standard
// input ends.
func Serve() (is bool, status int) {
	text := os.Getenv(variable)
	if text == "" {
		return false, 0
	}
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // client-go tells of each connection that a server's death broke
	var cfg Config
	err := json.Unmarshal([]byte(text), &cfg)
	if err == nil {
		err = serve(cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		return true, 1
	}
	return true, 0
}

func serve(cfg Config) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	source, err := identity.Load(cfg.Operator)
	if err != nil {
		return err
	}
	var out sync.Mutex
	encoder := json.NewEncoder(os.Stdout)
	tell := func(op Op) {
		out.Lock()
		defer out.Unlock()
		_ = encoder.Encode(op) // nobody listens any more: the end is near
	}
	var workers sync.WaitGroup
	for i := range cfg.Workers {
		w := &worker{id: cfg.First + i, cfg: cfg, tell: tell, random: rand.New(rand.NewPCG(uint64(cfg.First+i), 1))}
		if err := w.connect(source); err != nil {
			return err
		}
		workers.Go(func() { w.run(ctx) })
	}
	workers.Wait()
	return nil
}

// worker is one client: it does one thing at a time.
type worker struct {
	id     int
	cfg    Config
	tell   func(Op)
	random *rand.Rand
	// names are of pinned, which each ask one server only; any asks them in turn.
	names  []string
	pinned []*client.Client
	any    *client.Client
	n      int
}

func (w *worker) connect(source *identity.Source) (err error) {
	var all []string
	for name, address := range w.cfg.Servers {
		c, err := client.New(client.Config{Endpoints: []string{address}, TLS: source.Client(identity.RoleServer), Timeout: w.cfg.Timeout})
		if err != nil {
			return err
		}
		w.names, w.pinned, all = append(w.names, name), append(w.pinned, c), append(all, address)
	}
	w.any, err = client.New(client.Config{Endpoints: all, TLS: source.Client(identity.RoleServer), Timeout: w.cfg.Timeout})
	return err
}

func (w *worker) run(ctx context.Context) {
	if w.cfg.Probe > 0 {
		w.probe(ctx)
		return
	}
	for ctx.Err() == nil {
		c, server := w.any, ""
		if i := w.random.IntN(2 * len(w.pinned)); i < len(w.pinned) {
			c, server = w.pinned[i], w.names[i]
		}
		key := w.cfg.Keys[w.random.IntN(len(w.cfg.Keys))]
		last := Done
		switch w.random.IntN(5) {
		case 0, 1:
			_, last = w.read(c, server, key)
		case 2, 3:
			last = w.write(c, server, key, nil)
		default:
			var read *v1alpha1.Center
			if read, last = w.read(c, server, key); last == Done {
				last = w.write(c, server, key, read)
			}
		}
		pause := w.random.Int64N(int64(w.cfg.Pause) + 1)
		if last == Refused || last == Unknown {
			pause += int64(50 * time.Millisecond)
		}
		time.Sleep(time.Duration(pause))
	}
}

// probe writes at a fixed pace, as if each write were another client's.
func (w *worker) probe(ctx context.Context) {
	var writes sync.WaitGroup
	defer writes.Wait()
	ticks := time.NewTicker(w.cfg.Probe)
	defer ticks.Stop()
	// A key has one write at a time: while there are none that are answered, the pace is the keys'.
	free := make(chan string, len(w.cfg.Keys))
	for _, key := range w.cfg.Keys {
		free <- key
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			select {
			case key := <-free:
				value := w.value()
				writes.Go(func() {
					w.put(w.any, "", Op{Kind: Write, Key: key, Value: value}, "")
					free <- key
				})
			default:
			}
		}
	}
}

func (w *worker) value() string {
	w.n++
	return fmt.Sprint(w.id, "-", w.n)
}

func (w *worker) read(c *client.Client, server, key string) (*v1alpha1.Center, Outcome) {
	op := Op{Client: w.id, Kind: Read, Key: key, Server: server, Call: Now()}
	var options metav1.GetOptions
	if w.cfg.Stale {
		options.ResourceVersion = "0"
	}
	object, err := c.Centers().Get(context.Background(), key, options)
	op.Return, op.Outcome = Now(), Done
	if err != nil {
		op.Outcome, op.Error = Refused, err.Error()
	} else {
		op.Seen = object.Annotations[annotation]
	}
	w.tell(op)
	return object, op.Outcome
}

// write replaces the register; with read only if it is still that.
func (w *worker) write(c *client.Client, server, key string, read *v1alpha1.Center) Outcome {
	op := Op{Kind: Write, Key: key, Value: w.value()}
	version := ""
	if read != nil {
		op.Kind, op.Expect, version = Swap, read.Annotations[annotation], read.ResourceVersion
	}
	return w.put(c, server, op, version)
}

func (w *worker) put(c *client.Client, server string, op Op, version string) Outcome {
	op.Client, op.Server, op.Call = w.id, server, Now()
	object := register(op.Key, op.Value)
	object.ResourceVersion = version
	_, err := c.Centers().Update(context.Background(), object, metav1.UpdateOptions{})
	op.Return = Now()
	switch {
	case err == nil:
		op.Outcome = Done
	case errors.Is(err, client.ErrOutcomeUnknown):
		op.Outcome, op.Error = Unknown, err.Error()
	case apierrors.IsConflict(err):
		op.Outcome = Conflict
	default:
		op.Outcome, op.Error = Refused, err.Error()
	}
	w.tell(op)
	return op.Outcome
}

func register(key, value string) *v1alpha1.Center {
	return &v1alpha1.Center{
		ObjectMeta: metav1.ObjectMeta{Name: key, Annotations: map[string]string{annotation: value}},
		Spec:       v1alpha1.CenterSpec{Region: region, Role: v1alpha1.CenterFull, Phase: v1alpha1.CenterOpen},
	}
}

// Declare makes the registers, empty.
func Declare(ctx context.Context, c *client.Client, keys []string) error {
	for _, key := range keys {
		_, err := c.Centers().Apply(ctx, register(key, ""), metav1.ApplyOptions{FieldManager: "e2e", Force: true})
		if err != nil {
			return err
		}
	}
	return nil
}
