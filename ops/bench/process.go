package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// child is a process of a cluster. It dies with the benchmark, however that ends.
type child struct {
	name    string
	command []string
	log     string

	mu  sync.Mutex
	cmd *exec.Cmd
	end chan struct{} // closed when cmd has ended
}

func (c *child) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.command[0], c.command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := startPinned(cmd); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	end := make(chan struct{})
	go func() { _ = cmd.Wait(); close(end) }()
	c.cmd, c.end = cmd, end
	return nil
}

// starter runs on one thread for good: the kernel kills a child when the thread that started it ends.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func startPinned(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	starter() <- func() { done <- cmd.Start() }
	return <-done
}

func (c *child) signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		_ = c.cmd.Process.Signal(s)
	}
}

// kill ends it at once, and returns when it is gone.
func (c *child) kill() {
	c.signal(syscall.SIGKILL)
	c.mu.Lock()
	end := c.end
	c.mu.Unlock()
	if end != nil {
		<-end
	}
}

// ended says why a process is not there any more, with the end of what it wrote.
func (c *child) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.end:
	default:
		return nil
	}
	said, _ := os.ReadFile(c.log)
	const tail = 2000
	if len(said) > tail {
		said = said[len(said)-tail:]
	}
	return fmt.Errorf("%s ended: %s\n%s", c.name, c.cmd.ProcessState, bytes.TrimSpace(said))
}

// children are the processes of one cluster.
type children []*child

func (cs children) start() error {
	for _, c := range cs {
		if err := c.start(); err != nil {
			return err
		}
	}
	return nil
}

// freeze stops all at once, so that a cluster that is not measured takes nothing of the machine; thaw lets them go on.
func (cs children) freeze() { cs.signal(syscall.SIGSTOP) }
func (cs children) thaw()   { cs.signal(syscall.SIGCONT) }

func (cs children) signal(s syscall.Signal) {
	for _, c := range cs {
		c.signal(s)
	}
}

func (cs children) kill() {
	for _, c := range cs {
		c.signal(syscall.SIGKILL)
	}
	for _, c := range cs {
		c.kill()
	}
}

func (cs children) ended() error {
	var errs []error
	for _, c := range cs {
		errs = append(errs, c.ended())
	}
	return errors.Join(errs...)
}

// freeAddresses are of ports that nobody listens at, below those that the kernel gives to connections: one of these
// might be taken before its process listens.
func freeAddresses(n int) ([]string, error) {
	const first, last, tries = 20000, 32000, 1000
	var all []string
	for range tries {
		if len(all) == n {
			return all, nil
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first)))
		if err != nil {
			continue // somebody listens there
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d", n, first, last)
}

// build makes a binary of a package; the module's folder may be another one than this.
func build(ctx context.Context, dir, pkg, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd.Run()
}
