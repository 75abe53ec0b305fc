package dev

import (
	"path/filepath"
	"sync"
	"time"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
)

// Dev certificates: the authorities live as long as the data folder, the rest is issued anew at each start.
const (
	authorityValidity = 10 * 365 * 24 * time.Hour
	leafValidity      = 365 * 24 * time.Hour
)

// adminsGroup is the API's group that may do everything.
const adminsGroup = "pentad:admins"

// operatorName is the identity in the kubeconfig.
const operatorName = "dev"

// certificates are the two authorities of the estate: one for all identities, one for the voters among themselves.
type certificates struct {
	dir    string
	domain string
	all    *ca.Authority
	raft   *ca.Authority

	mu sync.Mutex
	// issued are the folders of issueOnce.
	issued map[string]bool
}

func openCertificates(dir, domain string) (*certificates, error) {
	all, err := ca.Open(filepath.Join(dir, "ca"), domain, authorityValidity)
	if err != nil {
		return nil, err
	}
	raft, err := ca.Open(filepath.Join(dir, "raft-ca"), domain, authorityValidity)
	if err != nil {
		return nil, err
	}
	return &certificates{dir: dir, domain: domain, all: all, raft: raft, issued: map[string]bool{}}, nil
}

func (c *certificates) files(folder string) identity.Files {
	file := func(name string) string { return filepath.Join(c.dir, folder, name) }
	return identity.Files{Cert: file("tls.crt"), Key: file("tls.key"), CA: file("ca.crt")}
}

// issue makes a certificate in a folder of the process's name.
func (c *certificates) issue(
	folder string,
	role identity.Role,
	name string,
	organizations ...string,
) (identity.Files, error) {
	return issue(c.all, c.files(folder), identity.ID{TrustDomain: c.domain, Role: role, Name: name}, organizations)
}

// issueOnce is issue of a certificate that several processes share, which must not change under them.
func (c *certificates) issueOnce(folder string, role identity.Role, name string) (identity.Files, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.issued[folder] {
		return c.files(folder), nil
	}
	files, err := c.issue(folder, role, name)
	c.issued[folder] = err == nil
	return files, err
}

// issueRaft makes the certificate that a server shows to the other voters.
func (c *certificates) issueRaft(folder, name string) (identity.Files, error) {
	id := identity.ID{TrustDomain: c.domain, Role: identity.RoleServer, Name: name}
	return issue(c.raft, c.files(filepath.Join(folder, "raft")), id, nil)
}

func issue(
	authority *ca.Authority,
	files identity.Files,
	id identity.ID,
	organizations []string,
) (identity.Files, error) {
	return files, authority.Issue(ca.Request{
		ID: id, Organizations: organizations, Hosts: []string{loopback, "localhost"}, Validity: leafValidity,
	}, files)
}
