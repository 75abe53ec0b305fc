//go:build unix

package loopback

import (
	"net"
	"testing"
)

func TestAnAddressIsKeptWhileNobodyListens(t *testing.T) {
	address := Address(t)
	for range 3 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Error("a call was taken")
		}
		listener := Listen(t, address)
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		listener.Close() // the connection is still there when the next one listens
		defer c.Close()
	}
}

// Enough ports are asked for that many would be kept ones if the kernel gave those out.
func TestNobodyElseIsGivenTheAddress(t *testing.T) {
	kept := map[string]bool{}
	for range 200 {
		kept[Address(t)] = true
	}
	server := Listen(t, Address(t))
	defer server.Close()
	for range 5000 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		caller, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = caller.(*net.TCPConn).SetLinger(0) // nothing of it stays behind
		caller.Close()
		if called, err := server.Accept(); err == nil {
			called.Close()
		}
		for _, at := range []net.Addr{listener.Addr(), caller.LocalAddr()} {
			if kept[at.String()] {
				t.Fatalf("%s is kept, and was given to somebody", at)
			}
		}
	}
}
