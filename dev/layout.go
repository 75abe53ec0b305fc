package dev

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/agents"
	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
	relay "pentad.dev/pentad/xds-relay"
	"pentad.dev/pentad/xds-relay/bootstrap"
)

// Names of listeners that are passed.
const (
	raftListener  = "raft"
	grpcListener  = "grpc"
	apiListener   = "api"
	adminListener = "admin"
)

// electionTimeout is shorter than a server's default, which suits centers tens of milliseconds apart: on one machine
// there is no distance. Measured: leader killed to acknowledged write 0.4 to 0.8 s at 300 ms, 0.7 to 1.9 s at the
// default 500 ms.
const electionTimeout = 350 * time.Millisecond

// registrySource is the name of each agent's one source.
const registrySource = "static"

// ServerName is the name of a center's server process.
func ServerName(center string) string { return "server-" + center }

// AgentName is the name of a center's agent process.
func AgentName(center string) string { return "agent-" + center }

// RelayName is the name of a center's relay process, counted from 1.
func RelayName(center string, n int) string { return fmt.Sprintf("relay-%s-%d", center, n) }

// SampleName is the name of a center's workload process.
func SampleName(center string) string { return "sample-" + center }

// LoadName is the name of a center's load generator process.
func LoadName(center string) string { return "load-" + center }

// listen picks or recalls the addresses of a process's listeners.
func (s *Site) listen(name string, names ...string) (map[string]string, []Listener, error) {
	addresses := map[string]string{}
	var listeners []Listener
	for _, l := range names {
		address, err := s.ports.address(name + "/" + l)
		if err != nil {
			return nil, nil, err
		}
		addresses[l] = address
		listeners = append(listeners, Listener{Name: l, Address: address})
	}
	return addresses, listeners, nil
}

// add writes a process's configuration file and makes it known to the supervisor.
func (s *Site) add(spec Spec, config process.Validator) error {
	if err := config.Validate(); err != nil {
		return fmt.Errorf("configuration of %s: %w", spec.Name, err)
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	path := s.path("config", spec.Name+".yaml")
	if err := replaceFile(path, data, 0o644); err != nil {
		return err
	}
	spec.Args = []string{string(spec.Role), "--config", path}
	spec.Env = append(spec.Env, cut.Env+"="+s.CutFile())
	return s.supervisor.Add(spec)
}

// layout decides about every process of the estate.
func (s *Site) layout() error {
	var servers []server.Peer
	for _, place := range s.estate.Places() {
		at, _, err := s.listen(ServerName(place.Center), raftListener, grpcListener, apiListener, adminListener)
		if err != nil {
			return err
		}
		servers = append(
			servers,
			server.Peer{Name: place.Center, Place: place.Place, Raft: at[raftListener], GRPC: at[grpcListener]},
		)
		s.apis = append(s.apis, api{center: place.Center, address: at[apiListener]})
	}
	if err := s.layStores(); err != nil {
		return err
	}
	for _, place := range s.estate.Places() {
		if err := s.layServer(place, servers); err != nil {
			return err
		}
		s.centers[place.Center] = &center{Place: place}
		if !place.Full() {
			continue
		}
		for _, lay := range []func(Place, []server.Peer) error{s.layRelays, s.layAgent, s.laySample, s.layLoad} {
			if err := lay(place, servers); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Site) layServer(place Place, servers []server.Peer) error {
	name := ServerName(place.Center)
	at, listeners, err := s.listen(name, raftListener, grpcListener, apiListener, adminListener)
	if err != nil {
		return err
	}
	certs, err := s.certs.issue(name, identity.RoleServer, place.Center)
	if err != nil {
		return err
	}
	raftCerts, err := s.certs.issueRaft(name, place.Center)
	if err != nil {
		return err
	}
	config := &server.Config{
		Name: place.Center, Place: place.Place, DataDir: s.path("state", name),
		Listen: server.Listen{
			Raft:  at[raftListener],
			GRPC:  at[grpcListener],
			API:   at[apiListener],
			Admin: at[adminListener],
		},
		Certificates: certs, RaftCertificates: raftCerts, APIClientCA: certs.CA, Servers: servers,
		ElectionTimeout: &metav1.Duration{Duration: electionTimeout},
	}
	return s.add(Spec{Name: name, Role: RoleServer, Place: place.Place, Listeners: listeners}, config)
}

func (s *Site) layRelays(place Place, servers []server.Peer) error {
	for n := 1; n <= s.estate.Relays; n++ {
		name := RelayName(place.Center, n)
		at, listeners, err := s.listen(name, grpcListener, adminListener)
		if err != nil {
			return err
		}
		certs, err := s.certs.issue(name, identity.RoleRelay, place.Cluster()+"/"+name)
		if err != nil {
			return err
		}
		config := &relay.Config{
			Name: name, Cluster: place.Cluster(), Place: place.Place, DataDir: s.path("state", name),
			Listen: relay.Listen{GRPC: at[grpcListener], Admin: at[adminListener]}, Certificates: certs,
		}
		for _, peer := range servers {
			config.Servers = append(config.Servers, relay.Peer{Name: peer.Name, Place: peer.Place, GRPC: peer.GRPC})
		}
		center := s.centers[place.Center]
		center.relays = append(center.relays, at[grpcListener])
		if err := s.add(Spec{Name: name, Role: RoleRelay, Place: place.Place, Listeners: listeners}, config); err != nil {
			return err
		}
	}
	return nil
}

func (s *Site) layAgent(place Place, servers []server.Peer) error {
	name := AgentName(place.Center)
	names := []string{adminListener}
	if len(s.stores) > 0 {
		names = append(names, grpcListener)
	}
	at, listeners, err := s.listen(name, names...)
	if err != nil {
		return err
	}
	s.centers[place.Center].agent = at[grpcListener]
	certs, err := s.certs.issue(name, identity.RoleAgent, place.Cluster())
	if err != nil {
		return err
	}
	config := &agents.Config{
		Cluster: place.Cluster(), Place: place.Place, DataDir: s.path("state", name),
		Listen: agents.Listen{Admin: at[adminListener], GRPC: at[grpcListener]}, Certificates: certs,
		Sources: []agents.Source{
			{Name: registrySource, Type: agents.SourceFile, Path: s.path("registry", place.Center+".yaml")},
		},
	}
	for _, peer := range servers {
		config.Servers = append(config.Servers, agents.Server{Name: peer.Name, Place: peer.Place, GRPC: peer.GRPC})
	}
	for i, address := range s.centers[place.Center].relays {
		config.Relays = append(config.Relays, agents.Relay{Name: RelayName(place.Center, i+1), GRPC: address})
	}
	return s.add(Spec{Name: name, Role: RoleAgent, Place: place.Place, Listeners: listeners}, config)
}

func (s *Site) layLoad(place Place, _ []server.Peer) error {
	name := LoadName(place.Center)
	at, listeners, err := s.listen(name, adminListener)
	if err != nil {
		return err
	}
	// The workload prefers the first relay, the clients prefer the last: each has something to do.
	relays := slices.Clone(s.centers[place.Center].relays)
	slices.Reverse(relays)
	env, err := s.bootstrap(place, name, relays)
	if err != nil {
		return err
	}
	config := &sample.LoadConfig{
		Name: name, Place: place.Place, Listen: sample.Listen{Admin: at[adminListener]}, Rate: s.estate.Rate,
		Records: s.Records(), Deadline: &metav1.Duration{Duration: sample.DefaultDeadline},
	}
	for _, service := range s.estate.Services {
		config.Services = append(config.Services, service.Name)
	}
	if len(s.estate.Unitizations) > 0 {
		config.Writes = s.writes()
		config.Relays = relayPeers(place, s.centers[place.Center].relays)
		slices.Reverse(config.Relays)
		config.Certificates = s.Workload(place.Center)
	}
	return s.add(Spec{Name: name, Role: RoleLoad, Place: place.Place, Env: env, Listeners: listeners}, config)
}

// writes are one client's share of the writes to the services of units.
func (s *Site) writes() []sample.Writes {
	clients := 0
	for _, place := range s.estate.Places() {
		if place.Full() {
			clients++
		}
	}
	var all []sample.Writes
	for _, u := range s.estate.Unitizations {
		for _, service := range u.Services {
			all = append(all, sample.Writes{
				Service: service, Unitization: u.Name, Shards: u.Shards, Header: u.Header,
				Rate: s.estate.writes() / float64(clients) / float64(len(u.Services)),
			})
		}
	}
	return all
}

// bootstrap writes the xDS bootstrap of a data plane that prefers the relays in this order, and returns the variable
// that names it.
func (s *Site) bootstrap(place Place, name string, relays []string) ([]string, error) {
	certs, err := s.certs.issue(name, identity.RoleWorkload, name)
	if err != nil {
		return nil, err
	}
	data, err := bootstrap.GRPC(bootstrap.Config{
		Node: name, Region: place.Region, Center: place.Center, Relays: relays, SingleRelay: len(relays) == 1,
		Certificates: &bootstrap.Certificates{Certificate: certs.Cert, Key: certs.Key, CA: certs.CA},
	})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.path("config"), name+"-bootstrap.json")
	return []string{"GRPC_XDS_BOOTSTRAP=" + path}, os.WriteFile(path, data, 0o644)
}
