package identity

import (
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Role is what a process may do, the first segment of its SPIFFE ID's path.
type Role string

const (
	// RoleServer is a federation server; its name is the server's.
	RoleServer Role = "server"
	// RoleAgent is the agent of a cluster; its name is the cluster's.
	RoleAgent Role = "agent"
	// RoleRelay is a relay of a cluster; its name is "<cluster>/<relay>".
	RoleRelay Role = "relay"
	// RoleWorkload is a workload; its name is chosen by who issues its certificate.
	RoleWorkload Role = "workload"
	// RoleOperator is a person or a tool at the API.
	RoleOperator Role = "operator"
)

// ID is who a process is.
type ID struct {
	TrustDomain string
	Role        Role
	Name        string
}

// Cluster is the cluster that an agent or a relay belongs to, and empty for the other roles.
func (id ID) Cluster() string {
	switch id.Role {
	case RoleAgent:
		return id.Name
	case RoleRelay:
		cluster, _, _ := strings.Cut(id.Name, "/")
		return cluster
	default:
		return ""
	}
}

// SPIFFE is the ID in its standard form.
func (id ID) SPIFFE() (spiffeid.ID, error) {
	domain, err := spiffeid.TrustDomainFromString(id.TrustDomain)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("trust domain %q: %w", id.TrustDomain, err)
	}
	spiffe, err := spiffeid.FromSegments(domain, append([]string{string(id.Role)}, strings.Split(id.Name, "/")...)...)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("%s %q: %w", id.Role, id.Name, err)
	}
	return spiffe, nil
}

func (id ID) String() string {
	return fmt.Sprintf("spiffe://%s/%s/%s", id.TrustDomain, id.Role, id.Name)
}

// Parse takes a SPIFFE ID of the estate apart. An unknown role is an error: it may do nothing here.
func Parse(spiffe spiffeid.ID) (ID, error) {
	role, name, _ := strings.Cut(strings.TrimPrefix(spiffe.Path(), "/"), "/")
	id := ID{TrustDomain: spiffe.TrustDomain().Name(), Role: Role(role), Name: name}
	switch id.Role {
	case RoleServer, RoleAgent, RoleRelay, RoleWorkload, RoleOperator:
	default:
		return ID{}, fmt.Errorf("identity %s: role %q is none of server, agent, relay, workload, operator", spiffe, role)
	}
	if name == "" {
		return ID{}, fmt.Errorf("identity %s: no name after the role", spiffe)
	}
	return id, nil
}
