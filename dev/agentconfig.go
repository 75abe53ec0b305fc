package dev

import (
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
)

// agentConfig is the configuration file of an agent.
type agentConfig struct {
	Cluster string `json:"cluster"`
	process.Place
	DataDir      string         `json:"dataDir"`
	Listen       agentListen    `json:"listen"`
	Certificates identity.Files `json:"certificates"`
	Servers      []agentServer  `json:"servers"`
	Relays       []agentRelay   `json:"relays"`
	Sources      []agentSource  `json:"sources"`
}

type agentListen struct {
	Admin string `json:"admin"`
}

type agentServer struct {
	Name string `json:"name"`
	process.Place
	GRPC string `json:"grpc"`
}

type agentRelay struct {
	Name string `json:"name"`
	GRPC string `json:"grpc"`
}

type agentSource struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Path string `json:"path"`
}

func (agentConfig) Validate() error { return nil }

func (s *Site) layAgent(place Place, servers []server.Peer) error {
	name := AgentName(place.Center)
	at, listeners, err := s.listen(name, adminListener)
	if err != nil {
		return err
	}
	certs, err := s.certs.issue(name, identity.RoleAgent, place.Cluster())
	if err != nil {
		return err
	}
	config := agentConfig{
		Cluster: place.Cluster(), Place: place.Place, DataDir: s.path("state", name),
		Listen: agentListen{Admin: at[adminListener]}, Certificates: certs,
		Sources: []agentSource{{Name: registrySource, Type: "file", Path: s.path("registry", place.Center+".yaml")}},
	}
	for _, peer := range servers {
		config.Servers = append(config.Servers, agentServer{Name: peer.Name, Place: peer.Place, GRPC: peer.GRPC})
	}
	for i, address := range s.centers[place.Center].relays {
		config.Relays = append(config.Relays, agentRelay{Name: RelayName(place.Center, i+1), GRPC: address})
	}
	return s.add(Spec{Name: name, Role: RoleAgent, Place: place.Place, Listeners: listeners}, config)
}
