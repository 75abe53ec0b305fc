package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
)

const (
	trustDomain = "bench.example"
	validity    = 24 * time.Hour
)

// certificates are what every process of every cluster shows and believes: the same kind of key for all.
type certificates struct {
	authority *ca.Authority
	dir       string
}

func newCertificates(dir string) (*certificates, error) {
	authority, err := ca.Open(filepath.Join(dir, "ca"), trustDomain, validity)
	if err != nil {
		return nil, err
	}
	return &certificates{authority: authority, dir: dir}, nil
}

// issue makes a certificate that is good for loopback, both as a server's and as a client's.
func (c *certificates) issue(role identity.Role, name string, organizations ...string) (identity.Files, error) {
	dir := filepath.Join(c.dir, string(role)+"-"+name)
	files := identity.Files{
		Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "ca.crt"),
	}
	return files, c.authority.Issue(ca.Request{
		ID:            identity.ID{TrustDomain: trustDomain, Role: role, Name: name},
		Organizations: organizations, Hosts: []string{"127.0.0.1", "localhost"}, Validity: validity,
	}, files)
}

// configs are the TLS configurations of a certificate: as a server that demands the client's, and as a client.
func configs(files identity.Files) (server, client *tls.Config, err error) {
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, nil, err
	}
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("%s holds no certificate", files.CA)
	}
	server = &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS13,
	}
	return server, &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS13}, nil
}

func clientCredentials(files identity.Files) (credentials.TransportCredentials, error) {
	_, client, err := configs(files)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(client), nil
}
