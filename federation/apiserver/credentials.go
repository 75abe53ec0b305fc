package apiserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// followEvery is how often the certificates are asked for again.
const followEvery = 5 * time.Second

// Certificates are PEM: what the server shows, and whose client certificates it takes.
type Certificates struct {
	Cert, Key []byte
	// ClientCA are the authorities of API users. They are their own: whoever they sign for with O pentad:admins is an
	// admin.
	ClientCA []byte
}

func (c Certificates) equal(other Certificates) bool {
	return bytes.Equal(c.Cert, other.Cert) && bytes.Equal(c.Key, other.Key) && bytes.Equal(c.ClientCA, other.ClientCA)
}

// CertificateFiles reads Certificates from PEM files.
func CertificateFiles(cert, key, clientCA string) func() (Certificates, error) {
	return func() (Certificates, error) {
		var c Certificates
		for _, file := range []struct {
			path string
			to   *[]byte
		}{{cert, &c.Cert}, {key, &c.Key}, {clientCA, &c.ClientCA}} {
			content, err := os.ReadFile(file.path)
			if err != nil {
				return Certificates{}, err
			}
			*file.to = content
		}
		return c, nil
	}
}

// credentials are the Certificates in force, as the library's dynamic TLS takes them.
type credentials struct {
	read  func() (Certificates, error)
	every time.Duration
	log   *slog.Logger

	mu        sync.Mutex
	current   Certificates
	verify    x509.VerifyOptions
	listeners []dynamiccertificates.Listener
}

var (
	_ dynamiccertificates.CertKeyContentProvider = (*credentials)(nil)
	_ dynamiccertificates.CAContentProvider      = (*credentials)(nil)
)

func newCredentials(read func() (Certificates, error), log *slog.Logger) (*credentials, error) {
	c := &credentials{read: read, every: followEvery, log: log}
	_, err := c.renew()
	return c, err
}

// renew takes what read gives, whole or not at all.
func (c *credentials) renew() (changed bool, err error) {
	next, err := c.read()
	if err != nil {
		return false, fmt.Errorf("certificates: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if next.equal(c.current) {
		return false, nil
	}
	if _, err := tls.X509KeyPair(next.Cert, next.Key); err != nil {
		return false, fmt.Errorf("certificates: serving certificate and key: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(next.ClientCA) {
		return false, errors.New("certificates: client authorities: no certificate in PEM")
	}
	c.current = next
	c.verify = x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, listener := range c.listeners {
		listener.Enqueue()
	}
	return true, nil
}

func (c *credentials) follow(ctx context.Context) {
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		switch changed, err := c.renew(); {
		case err != nil:
			c.log.Warn("renewed certificates not taken, the last good ones stay", "error", err)
		case changed:
			c.log.Info("certificates renewed")
		}
	}
}

// Name implements the providers.
func (c *credentials) Name() string { return "pentad" }

// AddListener implements the providers. The library adds itself once for each of the two.
func (c *credentials) AddListener(listener dynamiccertificates.Listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = append(c.listeners, listener)
}

// CurrentCertKeyContent implements dynamiccertificates.CertKeyContentProvider.
func (c *credentials) CurrentCertKeyContent() (cert, key []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current.Cert, c.current.Key
}

// CurrentCABundleContent implements dynamiccertificates.CAContentProvider.
func (c *credentials) CurrentCABundleContent() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current.ClientCA
}

// authorities are those that client certificates are verified with; another pointer when they have changed.
func (c *credentials) authorities() *x509.CertPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verify.Roots
}

// VerifyOptions implements dynamiccertificates.CAContentProvider; requests are verified with them.
func (c *credentials) VerifyOptions() (x509.VerifyOptions, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verify, true
}
