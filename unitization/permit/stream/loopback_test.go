package stream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/process/loopback"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

// certified are both sides' configurations with one certificate.
func certified(t *testing.T) (server, client *tls.Config) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"pentad"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(der)))
	mine := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{Certificates: []tls.Certificate{mine}}, &tls.Config{RootCAs: pool, ServerName: "pentad"}
}

// listen serves at an address of loopback's.
func listen(t *testing.T, address string, conf *tls.Config, p permitpb.PermitsServer) (kill func()) {
	l := loopback.Listen(t, address)
	server := grpc.NewServer(append(ServerOptions(), grpc.Creds(credentials.NewTLS(conf)))...)
	permitpb.RegisterPermitsServer(server, p)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return server.Stop
}

// patient is how long what takes moments may take on a machine that does much else.
const patient = 2 * time.Minute

// TestOverLoopbackWithTLS is the chain in real time over real sockets: a relay is killed and starts again at its port.
func TestOverLoopbackWithTLS(t *testing.T) {
	serverTLS, clientTLS := certified(t)
	a := newAuthority()
	root := must(NewRoot(RootConfig{Authority: a}))
	t.Cleanup(running(root.Run))
	above, at := loopback.Address(t), loopback.Address(t)
	listen(t, above, serverTLS, must(NewServer(ServerConfig{Grantor: root, Authorize: anyone})))

	relay := func(session string) (kill func()) {
		clock := permit.SystemClock()
		hop := must(permit.NewHop(permit.HopConfig{
			Holder: permitpb.Holder_HOLDER_RELAY, Center: "hz-a", Clock: clock,
		}))
		client := must(NewClient(ClientConfig{
			Peers: []Peer{{"server", above, clientTLS}}, Open: relayOpen(session), Holder: hop, Clock: clock,
		}))
		stop := running(client.Run)
		t.Cleanup(stop)
		down := listen(t, at, serverTLS, must(NewServer(ServerConfig{Grantor: hop, Authorize: anyone})))
		return func() { down(); stop() }
	}
	kill := relay("s1")

	g := &guard{clock: permit.SystemClock(), since: map[uint32]uint64{}, frozen: make(chan struct{}, 64)}
	g.client = must(NewClient(ClientConfig{
		Peers: []Peer{{"relay", at, clientTLS}}, Holder: g, Clock: g.clock,
		Open: &permitpb.Open{Holder: permitpb.Holder_HOLDER_GUARD, Name: "g", Cells: []string{"rz01.hz-a"}},
	}))
	defer running(g.client.Run)()
	eventually(t, "a permit", patient, g.open)
	kill()
	eventually(t, "the guard notices", patient, func() bool { return g.client.Status().Peer == "" })
	relay("s2")
	eventually(t, "a permit by the next relay", patient, func() bool {
		return g.open() && g.client.Status().Peer == "relay"
	})
	a.freeze()
	took := eventually(t, "the guard closes", patient, func() bool { return !g.open() })
	t.Logf("a freeze took %s", took)
}
