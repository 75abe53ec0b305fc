package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	requestx509 "k8s.io/apiserver/pkg/authentication/request/x509"
)

// counting counts what is verified.
type counting struct {
	authenticator.Request
	calls int
}

func (c *counting) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	c.calls++
	return c.Request.AuthenticateRequest(r)
}

func TestACertificateIsBelievedForAWhileUnderTheSameAuthorities(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	roots := func(a *authority) *x509.CertPool {
		pool := x509.NewCertPool()
		pool.AddCert(a.cert)
		return pool
	}
	trusted := roots(ca)
	options := func() (x509.VerifyOptions, bool) {
		return x509.VerifyOptions{Roots: trusted, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, true
	}
	inner := &counting{Request: requestx509.NewDynamic(options, requestx509.CommonNameUserConversion)}
	now := time.Now()
	b := newBelieving(inner, func() *x509.CertPool { return trusted })
	b.now = func() time.Time { return now }
	request := func(name string) *http.Request {
		leaf, err := x509.ParseCertificate(ca.client(name).Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}}
	}
	ask := func(r *http.Request, name string, verified int) {
		t.Helper()
		response, ok, err := b.AuthenticateRequest(r)
		if name == "" {
			if ok || err == nil {
				t.Errorf("%v, %v: want a refusal", ok, err)
			}
		} else if err != nil || !ok || response.User.GetName() != name {
			t.Errorf("%+v, %v, %v: want %s", response, ok, err, name)
		}
		if inner.calls != verified {
			t.Errorf("%d verifications, want %d", inner.calls, verified)
		}
	}
	lin, mei := request("lin"), request("mei")
	ask(lin, "lin", 1)
	ask(lin, "lin", 1)
	ask(mei, "mei", 2) // each for itself
	ask(lin, "lin", 2)
	now = now.Add(believedFor)
	ask(lin, "lin", 3) // not for ever

	lin.TLS.PeerCertificates[0].NotAfter = now.Add(time.Second)
	now = now.Add(believedFor)
	ask(lin, "lin", 4)
	ask(lin, "lin", 5) // not beyond its end, which has come

	ask(mei, "mei", 6)
	trusted = roots(other)
	ask(mei, "", 7) // not under other authorities
	ask(mei, "", 8) // and a refusal is not remembered
	trusted = roots(ca)
	ask(mei, "mei", 9)
	if _, ok, _ := b.AuthenticateRequest(&http.Request{}); ok {
		t.Error("nobody was authenticated")
	}
}
