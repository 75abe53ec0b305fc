package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/identity"
)

// NodeConfig is what a process that is nothing but federation/consensus with a map is told.
type NodeConfig struct {
	ID, Dir    string
	Raft, GRPC map[string]string // addresses by id
	Files      identity.Files
	// Election is the election timeout; 0: the default.
	Election time.Duration
	// Delays is how long a message to another node takes, one way, by its Raft address.
	Delays map[string]time.Duration
	// SlowApply is how long applying one command takes here.
	SlowApply time.Duration
	// Profile is a file for the node's CPU profile, written from SIGUSR1 to SIGUSR2.
	Profile string
}

// logOptions are what clusters of log nodes differ in.
type logOptions struct {
	election  time.Duration
	delay     func(from, to int) time.Duration
	slowApply func(i int) time.Duration
}

// startLog starts consensus without anything on top: below the API, as etcd is below Kubernetes' API.
func startLog(dir string, nodes int, certs *certificates, o logOptions) (*system, error) {
	s := &system{name: "log"}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(2 * nodes)
	if err != nil {
		return nil, err
	}
	config := NodeConfig{Raft: map[string]string{}, GRPC: map[string]string{}, Election: o.election}
	var clients []string
	for i := range nodes {
		id := nodeID(i)
		config.Raft[id], config.GRPC[id] = addresses[i], addresses[nodes+i]
		clients = append(clients, addresses[nodes+i])
	}
	for i := range nodes {
		config := config
		config.ID = nodeID(i)
		config.Dir = filepath.Join(dir, config.ID)
		config.Profile = filepath.Join(dir, config.ID+".pprof")
		if o.slowApply != nil {
			config.SlowApply = o.slowApply(i)
		}
		if o.delay != nil {
			config.Delays = map[string]time.Duration{}
			for j := range nodes {
				if j != i {
					config.Delays[config.Raft[nodeID(j)]] = o.delay(i, j)
				}
			}
		}
		if config.Files, err = certs.issue(identity.RoleServer, "log-"+config.ID); err != nil {
			return nil, err
		}
		data, err := json.Marshal(config)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, config.ID+".json")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			return nil, err
		}
		s.add(dir, config.ID, self, nodeCommand, file)
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
		_, err := s.pools[server].invoke(ctx, 0, logConfirm, nil)
		return err == nil
	}
	return s, s.processes.start()
}

func nodeID(i int) string { return fmt.Sprintf("n%d", i+1) }

func (c *NodeConfig) members() (all []consensus.Member) {
	for i := range len(c.Raft) {
		all = append(all, consensus.Member{ID: nodeID(i), Address: c.Raft[nodeID(i)]})
	}
	return all
}
