package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"

	"pentad.dev/pentad/federation/identity"
)

const (
	etcdPut    = "/etcdserverpb.KV/Put"
	etcdRange  = "/etcdserverpb.KV/Range"
	etcdStatus = "/etcdserverpb.Maintenance/Status"
)

// startEtcd starts the peer as its documentation says, TLS everywhere, with its defaults.
func startEtcd(dir, binary string, nodes int, certs *certificates) (*system, error) {
	s := &system{name: "etcd"}
	addresses, err := freeAddresses(2 * nodes)
	if err != nil {
		return nil, err
	}
	clients, peers := addresses[:nodes], addresses[nodes:]
	var members []string
	for i, peer := range peers {
		members = append(members, fmt.Sprintf("n%d=https://%s", i+1, peer))
		s.urls = append(s.urls, "https://"+clients[i])
	}
	for i := range nodes {
		name := fmt.Sprintf("n%d", i+1)
		files, err := certs.issue(identity.RoleServer, "etcd-"+name)
		if err != nil {
			return nil, err
		}
		data := filepath.Join(dir, name)
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, err
		}
		s.add(dir, name, binary, "--name", name, "--data-dir", data,
			"--listen-client-urls", "https://"+clients[i], "--advertise-client-urls", "https://"+clients[i],
			"--listen-peer-urls", "https://"+peers[i], "--initial-advertise-peer-urls", "https://"+peers[i],
			"--initial-cluster", strings.Join(members, ","), "--initial-cluster-state", "new",
			"--cert-file", files.Cert, "--key-file", files.Key, "--trusted-ca-file", files.CA, "--client-cert-auth",
			"--peer-cert-file", files.Cert, "--peer-key-file", files.Key, "--peer-trusted-ca-file", files.CA,
			"--peer-client-cert-auth", "--log-level", "error")
	}
	client, err := certs.issue(identity.RoleServer, "client")
	if err != nil {
		return nil, err
	}
	creds, err := clientCredentials(client)
	if err != nil {
		return nil, err
	}
	if err := s.dial(clients, grpc.WithTransportCredentials(creds)); err != nil {
		return nil, err
	}
	s.leads = func(ctx context.Context, server int) bool {
		if server >= len(s.pools) {
			return false // the API before it
		}
		status, err := s.pools[server].invoke(ctx, 0, etcdStatus, nil)
		if err != nil {
			return false
		}
		header, _, _, _ := lookup(status, 1)
		_, self, _, _ := lookup(header, 2)
		_, leader, _, _ := lookup(status, 4)
		return self != 0 && self == leader
	}
	return s, s.processes.start()
}

// startAPI starts an API over the cluster, of the library that Pentad's is made of, as one of its processes.
func (s *system) startAPI(dir, binary string, certs *certificates) (*api, error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	files, err := certs.issue(identity.RoleServer, "etcd-api")
	if err != nil {
		return nil, err
	}
	s.add(dir, "api", binary, "-listen", addresses[0], "-etcd", strings.Join(s.urls, ","),
		"-cert", files.Cert, "-key", files.Key, "-ca", files.CA)
	operator, err := certs.issue(identity.RoleOperator, "client", "pentad:admins")
	if err != nil {
		return nil, err
	}
	_, config, err := configs(operator)
	if err != nil {
		return nil, err
	}
	a := &api{}
	if err := a.dialAPI(addresses[0], config); err != nil {
		return nil, err
	}
	return a, s.processes[len(s.processes)-1].start()
}

// keys is how many keys are written.
const keys = 1000

func key(client, i int) []byte { return fmt.Appendf(nil, "key-%06d", (client*7919+i)%keys) }

// putMessage is a PutRequest; the log node takes the same.
func putMessage(key, value []byte) []byte { return field(field(nil, 1, key), 2, value) }

// rangeMessage is a RangeRequest for one key; the log node takes the same.
func rangeMessage(key []byte, stale bool) []byte {
	m := field(nil, 1, key)
	if stale {
		m = number(m, 7, 1)
	}
	return m
}

// puts writes values of that size through one server.
func (s *system) puts(server int, method string, size int) operation {
	value := make([]byte, size)
	return func(ctx context.Context, client, i int) error {
		_, err := s.pools[server].invoke(ctx, client, method, putMessage(key(client, i), value))
		return err
	}
}

// gets reads one key after the other through one server.
func (s *system) gets(server int, method string, stale bool) operation {
	return func(ctx context.Context, client, i int) error {
		_, err := s.pools[server].invoke(ctx, client, method, rangeMessage(key(client, i), stale))
		return err
	}
}
