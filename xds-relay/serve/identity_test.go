package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// issue makes a certificate of the authority, or the authority itself.
func issue(t *testing.T, authority *tls.Certificate, id string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: id},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: authority == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if u, err := url.Parse(id); err == nil && u.Scheme == "spiffe" {
		template.URIs = []*url.URL{u}
	}
	parent, signer := template, any(key)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestIdentityIsThatOfTheCertificate: whatever a client calls itself in Node.
func TestIdentityIsThatOfTheCertificate(t *testing.T) {
	authority := issue(t, nil, "authority")
	pool := x509.NewCertPool()
	pool.AddCert(authority.Leaf)
	const id = "spiffe://pentad.test/workload/orders"
	server := credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{*issue(t, authority, "spiffe://pentad.test/relay/r")},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool,
	})
	log := newLog(t, text(t, EndpointType, "e", "1"))
	r := startRelayWith(t, log, "", nil, append(ServerOptions(), grpc.Creds(server)))
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{*issue(t, authority, id)}, RootCAs: pool,
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	s := openStream(t, conn)
	s.ask("spiffe://pentad.test/workload/admin", EndpointType, "", "", "e")
	s.receive()
	if got := r.server.Streams(); len(got) != 1 || got[0].Identity != id {
		t.Fatalf("%+v", got)
	}
	if got := identityOf(nil); got != "" {
		t.Fatalf("without TLS: %q", got)
	}
}
