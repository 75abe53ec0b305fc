//go:build linux

package history

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
)

// Recorder starts client processes and keeps what they tell.
type Recorder struct {
	mu      sync.Mutex
	ops     []Op
	changed chan struct{} // closed at the next operation
	clients []*process
}

type process struct {
	cmd  *exec.Cmd
	life io.Closer
	done chan error
}

// NewRecorder has no clients yet.
func NewRecorder() *Recorder { return &Recorder{changed: make(chan struct{})} }

// Start starts clients where start starts a process.
func (r *Recorder) Start(start func(*exec.Cmd) error, cfg Config) error {
	text, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), variable+"="+string(text))
	cmd.Stderr = os.Stderr
	life, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := start(cmd); err != nil {
		return err
	}
	p := &process{cmd: cmd, life: life, done: make(chan error, 1)}
	go func() {
		err := r.listen(out)
		p.done <- errors.Join(err, cmd.Wait())
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = append(r.clients, p)
	return nil
}

func (r *Recorder) listen(out io.Reader) error {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var op Op
		if err := json.Unmarshal(line, &op); err != nil {
			return fmt.Errorf("a client says %q: %w", line, err)
		}
		r.add(op)
	}
}

func (r *Recorder) add(op Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
	close(r.changed)
	r.changed = make(chan struct{})
}

// looker numbers Look's reads among the clients.
const looker = 1 << 20

// Look reads each of the registers by itself, as one more client, beside or after those that Start started.
func (r *Recorder) Look(ctx context.Context, c *client.Client, keys []string) error {
	for _, key := range keys {
		op := Op{Client: looker, Kind: Read, Key: key, Call: Now(), Outcome: Done}
		object, err := c.Centers().Get(ctx, key, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("look at %s: %w", key, err)
		}
		op.Return, op.Seen = Now(), object.Annotations[annotation]
		r.add(op)
	}
	return nil
}

// Stop lets the clients finish what they are at, and returns when they have.
func (r *Recorder) Stop() error {
	r.mu.Lock()
	clients := r.clients
	r.clients = nil
	r.mu.Unlock()
	var errs []error
	for _, p := range clients {
		_ = p.life.Close()
	}
	for _, p := range clients {
		select {
		case err := <-p.done:
			errs = append(errs, err)
		case <-time.After(time.Minute):
			errs = append(errs, errors.New("a client does not end"))
			_ = p.cmd.Process.Kill()
		}
	}
	return errors.Join(errs...)
}

// Ops are the operations so far.
func (r *Recorder) Ops() []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ops[:len(r.ops):len(r.ops)]
}

// Wait waits for an operation that ok takes, among those that were told of from this number on.
func (r *Recorder) Wait(ctx context.Context, from int, ok func(Op) bool) (Op, error) {
	for {
		r.mu.Lock()
		ops, changed := r.ops, r.changed
		r.mu.Unlock()
		for ; from < len(ops); from++ {
			if ok(ops[from]) {
				return ops[from], nil
			}
		}
		select {
		case <-ctx.Done():
			return Op{}, ctx.Err()
		case <-changed:
		}
	}
}

// Written waits for the answer to a write that began after that reading of Now.
func (r *Recorder) Written(ctx context.Context, after int64) (Op, error) {
	r.mu.Lock()
	from := max(0, len(r.ops)-1000)
	r.mu.Unlock()
	op, err := r.Wait(ctx, from, func(op Op) bool { return op.Kind != Read && op.Outcome == Done && op.Call >= after })
	if err != nil {
		return op, fmt.Errorf("wait for a write that is acknowledged: %w", err)
	}
	return op, nil
}

// Save writes the operations into a file, a line each.
func (r *Recorder) Save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	encoder := json.NewEncoder(w)
	for _, op := range r.Ops() {
		if err := encoder.Encode(op); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}
