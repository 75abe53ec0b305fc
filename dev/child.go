package dev

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/process"
)

// Role is what a child is, and the subcommand that runs it.
type Role string

// The roles, in the order of their start. They stop in the reverse order.
const (
	RoleServer Role = "server"
	RoleRelay  Role = "relay"
	RoleAgent  Role = "agent"
	RoleSample Role = "sample"
	RoleLoad   Role = "load"
)

var startOrder = [...]Role{RoleServer, RoleRelay, RoleAgent, RoleSample, RoleLoad}

// Spec says how a child is started.
type Spec struct {
	// Name is unique in the supervisor, and the name of the log.
	Name string
	Role Role
	process.Place
	// Args follow the executable.
	Args []string
	// Env is added to this process's own.
	Env []string
	// Listeners are bound and passed under these names; adminListener among them is asked for readiness.
	Listeners []Listener
}

// Listener is a name and the address that it is always bound to.
type Listener struct {
	Name    string
	Address string
}

// State of a child.
type State string

// States of a child. Only the supervisor's own Kill and Stop end in Killed and Stopped; any other end is Exited.
const (
	StateNew     State = "new"
	StateRunning State = "running"
	StateKilled  State = "killed"
	StateStopped State = "stopped"
	StateExited  State = "exited"
)

// Event is a change of a child.
type Event struct {
	Process string
	Role    Role
	process.Place
	State State
	PID   int
	// At is when it began: the start, or the signal. Of an end that nobody asked for it is the same as Done.
	At record.Time
	// Done is when the process was there (forked), or was gone (its exit was collected; its sockets were closed before).
	Done record.Time
	// Detail says how it ended.
	Detail string
}

// child is one process, over its restarts.
type child struct {
	spec Spec

	mu    sync.Mutex
	state State
	cmd   *exec.Cmd
	gone  chan struct{} // closed when the process was collected
	end   State         // what its end will be called, when somebody asked for it
	asked record.Time
	exit  string
}

// bindFor is how long a busy port is tried again: children of a supervisor that was killed die a moment after it.
const bindFor = 2 * time.Second

// bind opens the child's listeners. A port that somebody else has is a UsageError that names it.
func (c *child) bind() ([]*net.TCPListener, error) {
	var listeners []*net.TCPListener
	for _, l := range c.spec.Listeners {
		listener, err := listenPatiently(l.Address)
		if err != nil {
			closeAll(listeners)
			return nil, process.Usagef("port %s of %s (%s %s, listener %s) can't be bound, some other process may have it: %w",
				l.Address, c.spec.Name, c.spec.Role, c.spec.Center, l.Name, err)
		}
		listeners = append(listeners, listener)
	}
	return listeners, nil
}

func listenPatiently(address string) (*net.TCPListener, error) {
	deadline := time.Now().Add(bindFor)
	for {
		// Go sets SO_REUSEADDR, so connections of the listener before that have not timed out do not matter.
		listener, err := net.Listen("tcp", address)
		if err == nil {
			return listener.(*net.TCPListener), nil
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func closeAll(listeners []*net.TCPListener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// command prepares the process; the returned files are closed by the caller once it has started.
func (c *child) command(binary, logs string, listeners []*net.TCPListener) (*exec.Cmd, []*os.File, error) {
	var files []*os.File
	fail := func(err error) (*exec.Cmd, []*os.File, error) {
		for _, f := range files {
			_ = f.Close()
		}
		return nil, nil, err
	}
	cmd := exec.Command(binary, c.spec.Args...)
	var names []string
	for i, l := range listeners {
		file, err := l.File()
		if err != nil {
			return fail(err)
		}
		files = append(files, file)
		names = append(names, c.spec.Listeners[i].Name)
	}
	cmd.ExtraFiles = slices.Clone(files) // file descriptors from 3 on
	log, err := os.OpenFile(filepath.Join(logs, c.spec.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fail(err)
	}
	files = append(files, log)
	cmd.Stdout, cmd.Stderr = log, log
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "LISTEN_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	cmd.Env = append(cmd.Env, c.spec.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd, files, nil
}

// signal sends to the child, and says what the end that follows is called.
func (c *child) signal(signal syscall.Signal, end State) (gone <-chan struct{}, running bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateRunning {
		return nil, false
	}
	if c.end != StateKilled { // a stop that became a kill is a kill
		c.end = end
	}
	c.asked = record.Now()
	_ = c.cmd.Process.Signal(signal) // an error means that it is gone already, and its end is being collected
	return c.gone, true
}
