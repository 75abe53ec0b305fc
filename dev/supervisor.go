package dev

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"pentad.dev/pentad/dev/sample/record"
)

// stopGrace is how long a child may take to stop before it is killed, if nothing else is configured.
const stopGrace = 2 * time.Second

// Supervisor starts, kills and stops the processes of a Site. Its methods are safe for concurrent use.
type Supervisor struct {
	binary string
	logs   string
	grace  time.Duration
	log    *slog.Logger
	// notify is told of every event, in the order of each child's events; it must not call back.
	notify func(Event)
	forks  chan func()
	done   chan struct{}

	mu       sync.Mutex
	children map[string]*child
	order    []string
}

// newSupervisor starts the thread that forks; Close ends it.
func newSupervisor(binary, logs string, grace time.Duration, log *slog.Logger, notify func(Event)) *Supervisor {
	s := &Supervisor{
		binary: binary, logs: logs, grace: grace, log: log, notify: notify,
		forks: make(chan func()), done: make(chan struct{}), children: map[string]*child{},
	}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and with it what children are left
		defer close(s.done)
		for fork := range s.forks {
			fork()
		}
	}()
	return s
}

// Close kills what still runs. No method may be called after it.
func (s *Supervisor) Close() {
	s.Kill(s.Names()...)
	close(s.forks)
	<-s.done
}

// Add makes a child known; Start starts it.
func (s *Supervisor) Add(spec Spec) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.children[spec.Name] != nil {
		return fmt.Errorf("process %q is there already", spec.Name)
	}
	s.children[spec.Name] = &child{spec: spec, state: StateNew}
	s.order = append(s.order, spec.Name)
	return nil
}

// Forget removes a child that does not run.
func (s *Supervisor) Forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.children, name)
	s.order = slices.DeleteFunc(s.order, func(n string) bool { return n == name })
}

// Names are the children in the order in which they were added; with roles, only those.
func (s *Supervisor) Names(roles ...Role) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, name := range s.order {
		if len(roles) == 0 || slices.Contains(roles, s.children[name].spec.Role) {
			names = append(names, name)
		}
	}
	return names
}

func (s *Supervisor) child(name string) (*child, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.children[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("no process %q", name)
}

// Start starts a child that does not run; one that runs is left as it is.
func (s *Supervisor) Start(name string) error {
	c, err := s.child(name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == StateRunning {
		return nil
	}
	at := record.Now()
	listeners, err := c.bind()
	if err != nil {
		return err
	}
	cmd, files, err := c.command(s.binary, s.logs, listeners)
	if err == nil {
		err = s.fork(cmd)
		for _, f := range files {
			_ = f.Close()
		}
	}
	closeAll(listeners)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.cmd, c.state, c.end, c.gone, c.exit = cmd, StateRunning, StateExited, make(chan struct{}), ""
	s.tell(c, Event{State: StateRunning, At: at, Done: record.Now()})
	go s.collect(c, cmd)
	return nil
}

func (s *Supervisor) fork(cmd *exec.Cmd) error {
	result := make(chan error)
	s.forks <- func() { result <- cmd.Start() }
	return <-result
}

// collect waits for the process's end, and ends with it.
func (s *Supervisor) collect(c *child, cmd *exec.Cmd) {
	_ = cmd.Wait()
	done := record.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.asked
	if c.end == StateExited {
		at = done
		s.log.Warn("process ended, nobody asked it to", "process", c.spec.Name, "how", cmd.ProcessState.String())
	}
	c.state, c.exit = c.end, cmd.ProcessState.String()
	s.tell(c, Event{State: c.state, At: at, Done: done, Detail: c.exit})
	close(c.gone)
}

func (s *Supervisor) tell(c *child, e Event) {
	e.Process, e.Role, e.Place, e.PID = c.spec.Name, c.spec.Role, c.spec.Place, c.cmd.Process.Pid
	s.notify(e)
}

// Kill sends SIGKILL to all of them at once, and returns when all are gone.
func (s *Supervisor) Kill(names ...string) {
	var waits []<-chan struct{}
	for _, name := range names {
		if c, err := s.child(name); err == nil {
			if gone, running := c.signal(syscall.SIGKILL, StateKilled); running {
				waits = append(waits, gone)
			}
		}
	}
	for _, gone := range waits {
		<-gone
	}
}

// Stop asks all of them to stop at once, and kills those that take longer than their grace.
func (s *Supervisor) Stop(names ...string) {
	var all sync.WaitGroup
	for _, name := range names {
		c, err := s.child(name)
		if err != nil {
			continue
		}
		gone, running := c.signal(syscall.SIGTERM, StateStopped)
		if !running {
			continue
		}
		all.Go(func() {
			select {
			case <-gone:
			case <-time.After(s.grace):
				s.log.Warn("process did not stop in time, killed", "process", name, "grace", s.grace)
				s.Kill(name)
			}
		})
	}
	all.Wait()
}

// Signal sends any other signal, such as SIGSTOP.
func (s *Supervisor) Signal(name string, signal syscall.Signal) {
	c, err := s.child(name)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == StateRunning {
		_ = c.cmd.Process.Signal(signal) // an error means that it is gone
	}
}

// StopAll stops everything in order: clients first, servers last.
func (s *Supervisor) StopAll() {
	for _, role := range slices.Backward(startOrder[:]) {
		s.Stop(s.Names(role)...)
	}
}

// Status is a child as it is now.
type Status struct {
	Spec  Spec
	State State
	PID   int
	// Exit says how it ended.
	Exit string
}

// Status of one child; ok is false for an unknown name.
func (s *Supervisor) Status(name string) (status Status, ok bool) {
	c, err := s.child(name)
	if err != nil {
		return Status{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	status = Status{Spec: c.spec, State: c.state, Exit: c.exit}
	if c.state == StateRunning {
		status.PID = c.cmd.Process.Pid
	}
	return status, true
}

// NotRunning are the children that do not run, of the roles if any are named.
func (s *Supervisor) NotRunning(roles ...Role) []string {
	return slices.DeleteFunc(s.Names(roles...), func(name string) bool {
		status, ok := s.Status(name)
		return !ok || status.State == StateRunning
	})
}

// gone is closed once the child does not run.
func (s *Supervisor) gone(name string) <-chan struct{} {
	closed := make(chan struct{})
	close(closed)
	c, err := s.child(name)
	if err != nil {
		return closed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateRunning {
		return closed
	}
	return c.gone
}

// Wait returns when the child does not run, or ctx ends.
func (s *Supervisor) Wait(ctx context.Context, name string) error {
	select {
	case <-s.gone(name):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
