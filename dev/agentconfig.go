package dev

import (
	"pentad.dev/pentad/agents"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/server"
)

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
	config := &agents.Config{
		Cluster: place.Cluster(), Place: place.Place, DataDir: s.path("state", name),
		Listen: agents.Listen{Admin: at[adminListener]}, Certificates: certs,
		Sources: []agents.Source{{Name: registrySource, Type: agents.SourceFile, Path: s.path("registry", place.Center+".yaml")}},
	}
	for _, peer := range servers {
		config.Servers = append(config.Servers, agents.Server{Name: peer.Name, Place: peer.Place, GRPC: peer.GRPC})
	}
	for i, address := range s.centers[place.Center].relays {
		config.Relays = append(config.Relays, agents.Relay{Name: RelayName(place.Center, i+1), GRPC: address})
	}
	return s.add(Spec{Name: name, Role: RoleAgent, Place: place.Place, Listeners: listeners}, config)
}
