package consensus

import (
	"context"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// listen listens at an address that is the test's own until it ends: while nobody listens there, callers are refused, and
// the kernel gives the port to nobody else. Members that are started again would else find it taken now and then.
func listen(t testing.TB) net.Listener {
	t.Helper()
	held, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(held) })
	unix.CloseOnExec(held)
	if err := shared(uintptr(held)); err != nil {
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
	return listenAt(t, (&net.TCPAddr{IP: at.Addr[:], Port: at.Port}).String())
}

// listenAt listens again at an address of listen's.
func listenAt(t testing.TB, address string) net.Listener {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) { err = shared(fd) }); e != nil {
			return e
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// shared lets a socket have its address together with others of this user's that are shared.
func shared(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

func TestAnAddressIsKeptWhileNobodyListens(t *testing.T) {
	first := listen(t)
	address := first.Addr().String()
	first.Close()
	if l, err := net.Listen("tcp", address); err == nil {
		l.Close()
		t.Error("somebody else got it")
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("a call was taken")
	}
	again := listenAt(t, address)
	defer again.Close()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
