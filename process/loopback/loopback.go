//go:build unix

// Package loopback gives tests addresses of their own: whatever listens there can be stopped and started again, and nobody
// else on the machine gets the port meanwhile.
package loopback

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Address returns an address of 127.0.0.1 that is the test's own until it ends. While nobody listens there, callers are
// refused; net.Listen takes it as often as it is asked to. A socket is bound to it that never listens: the kernel gives
// such a port neither to who asks for any nor to who calls, and lets those have it who ask for it by name and may reuse
// addresses, as Go's listeners may (socket(7), SO_REUSEADDR).
func Address(t testing.TB) string {
	t.Helper()
	held, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(held) })
	unix.CloseOnExec(held)
	if err := unix.SetsockoptInt(held, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(held, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(held)
	if err != nil {
		t.Fatal(err)
	}
	at := name.(*unix.SockaddrInet4)
	return (&net.TCPAddr{IP: at.Addr[:], Port: at.Port}).String()
}

// patience is how long Listen waits for who listened there before.
const patience = time.Minute

// Listen listens at an address of Address's. Who listened there before may still be about to stop.
func Listen(t testing.TB, address string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	for deadline := time.Now().Add(patience); errors.Is(err, unix.EADDRINUSE) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
		listener, err = net.Listen("tcp", address)
	}
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
