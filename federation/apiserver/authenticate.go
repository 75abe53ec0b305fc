package apiserver

import (
	"crypto/sha256"
	"crypto/x509"
	"net/http"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
)

const (
	// believedFor bounds how long a verified certificate is not verified again.
	believedFor = time.Minute
	// mostBelieved bounds how many are remembered.
	mostBelieved = 1024
)

// believing remembers for a while which client certificates were verified: the library verifies the signature at each
// request, which was a sixth of what a write costs. It forgets all when the authorities change, and each when it or one
// of its chain ends. What was refused is not remembered.
type believing struct {
	inner authenticator.Request
	// authorities changes, as a pointer, when the authorities do.
	authorities func() *x509.CertPool
	now         func() time.Time

	mu    sync.Mutex
	under *x509.CertPool // what believed was verified with
	known map[[sha256.Size]byte]belief
}

type belief struct {
	response *authenticator.Response
	until    time.Time
}

func newBelieving(inner authenticator.Request, authorities func() *x509.CertPool) *believing {
	return &believing{inner: inner, authorities: authorities, now: time.Now}
}

// AuthenticateRequest implements authenticator.Request.
func (b *believing) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return b.inner.AuthenticateRequest(r)
	}
	digest, end := identify(r.TLS.PeerCertificates)
	// Before the inner one looks at them: what it verifies with older ones must not be believed under newer ones.
	authorities, now := b.authorities(), b.now()
	if response := b.recall(digest, authorities, now); response != nil {
		return response, true, nil
	}
	response, ok, err := b.inner.AuthenticateRequest(r)
	if err == nil && ok {
		if most := now.Add(believedFor); most.Before(end) {
			end = most
		}
		b.remember(digest, authorities, belief{response, end})
	}
	return response, ok, err
}

// identify names a chain as it was shown, and says when the first of it ends.
func identify(chain []*x509.Certificate) (digest [sha256.Size]byte, end time.Time) {
	hash := sha256.New()
	for i, cert := range chain {
		hash.Write(cert.Raw) // DER says its own length
		if i == 0 || cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return [sha256.Size]byte(hash.Sum(nil)), end
}

func (b *believing) recall(digest [sha256.Size]byte, authorities *x509.CertPool, now time.Time) *authenticator.Response {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, there := b.known[digest]; there && b.under == authorities && now.Before(known.until) {
		response := *known.response
		return &response
	}
	return nil
}

func (b *believing) remember(digest [sha256.Size]byte, authorities *x509.CertPool, known belief) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.under != authorities || len(b.known) >= mostBelieved {
		b.under, b.known = authorities, map[[sha256.Size]byte]belief{}
	}
	b.known[digest] = known
}
