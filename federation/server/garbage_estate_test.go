package server

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
)

// TestWhoSpeaksGarbageIsRefusedAndDisturbsNobody: at each port of each server, as nobody, with a certificate of another
// authority, and with one of the estate's own.
func TestWhoSpeaksGarbageIsRefusedAndDisturbsNobody(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 3)
	e.leader()
	c := e.operator(0, 1, 2)
	e.roles(c, map[string]string{"s1": "voter", "s2": "voter", "s3": "voter"})
	loaded := e.load(c, 2)
	clusters := func() (ids string) {
		for _, s := range e.servers {
			ids += s.node.Folder().ID + s.node.Folder().Cluster
		}
		return ids
	}
	before := clusters()
	strangers, err := ca.Open(t.TempDir(), trustDomain, time.Hour)
	check(t, err)
	id := identity.ID{TrustDomain: trustDomain, Role: identity.RoleServer, Name: "s2"}
	as := func(files identity.Files) *tls.Config {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		check(t, err)
		return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	}
	callers := map[string]*tls.Config{
		"nobody": nil, "a stranger": as(issue(t, strangers, id)), "a server": as(e.configs[1].Certificates), "a voter": as(e.configs[1].RaftCertificates),
	}
	noise := rand.NewChaCha8([32]byte{7})
	random := make([]byte, 64<<10)
	_, _ = noise.Read(random)
	garbage := map[string][]byte{
		"random bytes": random, "zeros": make([]byte, 64<<10), "another protocol": []byte(strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n", 2000)),
		"a greeting of a later version": append([]byte("PNTDRAFT\xff\xff\xff"), random...),
		"HTTP/2 with broken frames":     append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), random...),
	}
	for _, config := range e.configs {
		for port, address := range map[string]string{"raft": config.Listen.Raft, "grpc": config.Listen.GRPC, "api": config.Listen.API} {
			for who, certificate := range callers {
				for what, bytes := range garbage {
					if !hangsUp(t, address, certificate, bytes) {
						t.Errorf("%s of %s goes on to listen to %s from %s", port, config.Name, what, who)
					}
				}
			}
		}
	}
	loaded()
	if after := clusters(); after != before {
		t.Errorf("the folders were of %s, and are of %s", before, after)
	}
	e.roles(c, map[string]string{"s1": "voter", "s2": "voter", "s3": "voter"})
}

// hangsUp says whether the other end closes the connection of who speaks garbage.
func hangsUp(t *testing.T, address string, as *tls.Config, garbage []byte) bool {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patient)
	check(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patient))
	if as != nil {
		conn = tls.Client(conn, as)
	}
	go func() { _, _ = io.Copy(conn, bytes.NewReader(garbage)) }() // it need not be read to its end
	_, err = io.Copy(io.Discard, conn)
	wait, ok := err.(net.Error)
	return !ok || !wait.Timeout()
}
