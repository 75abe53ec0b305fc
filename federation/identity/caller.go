package identity

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ErrNoIdentity says that a call came without a verified certificate.
var ErrNoIdentity = errors.New("no client certificate")

// Caller is who called, by the certificate that the gRPC connection verified.
func Caller(ctx context.Context) (ID, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ID{}, ErrNoIdentity
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return ID{}, ErrNoIdentity
	}
	return FromCertificate(info.State.PeerCertificates[0])
}

// FromCertificate is the identity that a certificate bears.
func FromCertificate(cert *x509.Certificate) (ID, error) {
	spiffe, err := x509svid.IDFromCert(cert)
	if err != nil {
		return ID{}, err
	}
	return Parse(spiffe)
}
