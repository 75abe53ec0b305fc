//go:build linux

// Package netns lays a small network of Linux network namespaces: hosts on a bridge, whose paths to each other can be cut
// one way or made long.
//
// A path is a host's route to another host. Three exist: straight over the bridge; through a switch in user space, which
// hands packets on after a delay; and into that switch to be lost. So a cut is silent, as cables are, and nothing is
// needed of the kernel but veth, bridge and tun.
package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace. It lives as long as the thread that made it, or a process in it.
type Namespace struct {
	Name string
	tid  int
	file int // of /proc/…/ns/net, for other threads to enter by
	work chan func()
}

// New makes a namespace whose loopback is up.
func New(name string) (*Namespace, error) { return open(name, unix.CLONE_NEWNET) }

// Own is the namespace that the whole of this process is in, by Enter.
func Own() (*Namespace, error) {
	if os.Getenv(entered) == "" {
		return nil, errors.New("this process has no network namespace of its own")
	}
	return open("own", 0)
}

func open(name string, unshare int) (*Namespace, error) {
	n := &Namespace{Name: name, work: make(chan func())}
	made := make(chan error)
	go n.live(unshare, made)
	if err := <-made; err != nil {
		return nil, fmt.Errorf("network namespace %s: %w", name, err)
	}
	return n, n.IP("link set lo up")
}

// live is the namespace's own thread. It never leaves the namespace, so it ends with the goroutine.
func (n *Namespace) live(unshare int, made chan<- error) {
	runtime.LockOSThread()
	err := unix.Unshare(unshare)
	if err == nil {
		n.tid = unix.Gettid()
		n.file, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	made <- err
	if err != nil {
		return
	}
	for f := range n.work {
		f()
	}
	_ = unix.Close(n.file)
}

// Close ends the namespace's thread, and the processes that it started.
func (n *Namespace) Close() { close(n.work) }

// Do calls f on the namespace's thread.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error)
	n.work <- func() { done <- f() }
	return <-done
}

// Start starts a process in the namespace. It is killed when this process ends, however it ends.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return n.Do(cmd.Start)
}

// IP runs iproute2's ip in the namespace, one command a line.
func (n *Namespace) IP(lines ...string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Start(cmd); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("ip in namespace %s: %w: %s (commands: %s)",
			n.Name, err, strings.TrimSpace(out.String()), strings.Join(lines, "; "))
	}
	return nil
}

// Dial connects from the namespace to an IP address and port.
func (n *Namespace) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread is of no use to others
		if err := unix.Setns(n.file, unix.CLONE_NEWNET); err != nil {
			done <- result{err: errors.Join(errors.New("enter namespace "+n.Name), err)}
			return
		}
		dialer := net.Dialer{Timeout: 10 * time.Second, FallbackDelay: -1}
		conn, err := dialer.DialContext(ctx, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}
