// Package ca is a certificate authority for SPIFFE identities, kept in two PEM files. Servers and `pentad dev` import it.
//
// It follows SPIFFE's X509-SVID: the authority bears the trust domain as its only URI, a leaf bears exactly one SPIFFE ID.
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"pentad.dev/pentad/federation/identity"
)

// backdate allows for clocks that are behind the authority's.
const backdate = 5 * time.Minute

// Authority signs certificates.
type Authority struct {
	domain string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
}

// Open reads the authority kept in dir as ca.crt and ca.key, and makes it when neither is there.
func Open(dir, trustDomain string, validity time.Duration) (*Authority, error) {
	certPath, keyPath := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	certPEM, certErr := os.ReadFile(certPath)
	keyPEM, keyErr := os.ReadFile(keyPath)
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		return create(dir, trustDomain, validity)
	}
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, fmt.Errorf("authority in %s: %w", dir, err)
	}
	a, err := parse(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("authority in %s: %w", dir, err)
	}
	if a.domain != trustDomain {
		return nil, fmt.Errorf("authority in %s: trust domain is %q, not %q", dir, a.domain, trustDomain)
	}
	return a, nil
}

func create(dir, trustDomain string, validity time.Duration) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(pkix.Name{CommonName: trustDomain, Organization: []string{"Pentad"}}, validity)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.URIs = []*url.URL{{Scheme: "spiffe", Host: trustDomain}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := writePair(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"), encodeCert(der), key); err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{domain: trustDomain, cert: cert, key: key}, err
}

func parse(certPEM, keyPEM []byte) (*Authority, error) {
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, errors.New("ca.crt and ca.key must each hold one PEM block")
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("ca.crt: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("ca.key: %w", err)
	}
	ecKey, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ecKey.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("ca.key is not the ECDSA key of ca.crt")
	}
	if len(cert.URIs) != 1 {
		return nil, errors.New("ca.crt must bear the trust domain as its only URI")
	}
	return &Authority{domain: cert.URIs[0].Host, cert: cert, key: ecKey}, nil
}

// Request says what a certificate is to say.
type Request struct {
	ID identity.ID
	// Organizations become the groups that the API grants by.
	Organizations []string
	// Hosts are DNS names and IP addresses, for callers that verify those.
	Hosts    []string
	Validity time.Duration
}

// Issue writes a certificate and its key to files, and the authority beside them.
func (a *Authority) Issue(r Request, files identity.Files) error {
	if r.ID.TrustDomain != a.domain {
		return fmt.Errorf("trust domain of %s: this authority signs for %q", r.ID, a.domain)
	}
	spiffe, err := r.ID.SPIFFE()
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := newTemplate(pkix.Name{CommonName: r.ID.Name, Organization: r.Organizations}, r.Validity)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.URIs = []*url.URL{spiffe.URL()}
	for _, host := range r.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(files.Cert), 0o700); err != nil {
		return err
	}
	if err := writePair(files.Cert, files.Key, encodeCert(der), key); err != nil {
		return err
	}
	return os.WriteFile(files.CA, encodeCert(a.cert.Raw), 0o644)
}

func newTemplate(subject pkix.Name, validity time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      subject,
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(validity),
	}, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func writePair(certPath, keyPath string, cert []byte, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(certPath, cert, 0o644)
}
