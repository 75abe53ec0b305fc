package dev

import (
	"fmt"

	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
)

// layStores decides where the members of the stores are reached: each is hosted by the sample process of its center.
func (s *Site) layStores() error {
	s.webhooks = map[string]map[string]string{}
	for _, store := range s.estate.Stores {
		config := sample.StoreConfig{Name: store.Name}
		s.webhooks[store.Name] = map[string]string{}
		for _, center := range store.Members {
			grpc, webhook := sample.LedgerListeners(store.Name)
			at, _, err := s.listen(SampleName(center), grpc, webhook)
			if err != nil {
				return err
			}
			config.Members = append(config.Members, sample.Member{Name: center, GRPC: at[grpc]})
			s.webhooks[store.Name][center] = at[webhook]
		}
		s.stores = append(s.stores, config)
	}
	return nil
}

func (s *Site) laySample(place Place, _ []server.Peer) error {
	var instances []sample.Instance
	for _, service := range s.estate.Services {
		units := []Unit{{}} // of a plain service
		if unitization := s.estate.Unitization(service.Name); unitization != nil {
			units = unitization.here(place.Center)
		}
		for _, unit := range units {
			for n := 1; n <= service.Instances; n++ {
				in, err := s.instance(place, service.Name, unit, n)
				if err != nil {
					return err
				}
				instances = append(instances, in)
			}
		}
	}
	name := SampleName(place.Center)
	ledgers, err := s.ledgers(place)
	if err != nil {
		return err
	}
	spec, config, err := s.sample(place, name, instances, ledgers)
	if err != nil {
		return err
	}
	path := s.path("registry", place.Center+".yaml")
	if s.centers[place.Center].registry, err = openRegistry(path, s.estate.Services, config.Instances); err != nil {
		return err
	}
	return s.add(spec, config)
}

// instance is one of a service's instances, the n-th of its kind, without an address. The empty unit is that of a plain
// service.
func (s *Site) instance(place Place, service string, unit Unit, n int) (sample.Instance, error) {
	if unit.Name == "" {
		return sample.Instance{Name: fmt.Sprintf("%s-%s-%d", service, place.Center, n), Service: service}, nil
	}
	cell := unit.cell(place.Center)
	certs, err := s.certs.issueOnce("cell-"+cell, identity.RoleWorkload, "cell/"+cell)
	return sample.Instance{
		Name: fmt.Sprintf("%s-%s-%s-%d", service, unit.Name, place.Center, n), Service: service,
		Unit: unit.Name, Cell: cell, Store: unit.Store, Certificates: certs,
	}, err
}

// ledgers are the members of stores in a center.
func (s *Site) ledgers(place Place) ([]sample.Ledger, error) {
	var ledgers []sample.Ledger
	for _, store := range s.stores {
		for _, m := range store.Members {
			if m.Name != place.Center {
				continue
			}
			member := store.Name + "." + place.Center
			certs, err := s.certs.issue("store-"+member, identity.RoleWorkload, "store/"+member)
			if err != nil {
				return nil, err
			}
			ledgers = append(ledgers, sample.Ledger{
				Store: store.Name, Dir: s.Ledger(store.Name, place.Center), GRPC: m.GRPC,
				Webhook: s.webhooks[store.Name][place.Center], Certificates: certs,
			})
		}
	}
	return ledgers, nil
}

// Ledger is the folder of a store's member, for who reads what it wrote.
func (s *Site) Ledger(store, center string) string {
	return s.path("state", "ledger-"+store+"."+center)
}

// sample is a workload process with these instances, whose addresses are filled in, and ledgers.
func (s *Site) sample(place Place, name string, instances []sample.Instance, ledgers []sample.Ledger) (
	Spec,
	*sample.ServerConfig,
	error,
) {
	names := []string{adminListener}
	for _, in := range instances {
		names = append(names, in.Name)
	}
	for _, l := range ledgers {
		grpc, webhook := sample.LedgerListeners(l.Store)
		names = append(names, grpc, webhook)
	}
	at, listeners, err := s.listen(name, names...)
	if err != nil {
		return Spec{}, nil, err
	}
	for i := range instances {
		instances[i].Listen = at[instances[i].Name]
	}
	center := s.centers[place.Center]
	env, err := s.bootstrap(place, name, center.relays)
	config := &sample.ServerConfig{
		Name: name, Place: place.Place, Listen: sample.Listen{Admin: at[adminListener]}, XDS: true, Instances: instances,
		Ledgers: ledgers, Asynchronous: s.cfg.Asynchronous,
	}
	if len(s.estate.Unitizations) > 0 {
		config.Cluster, config.Records, config.Stores = place.Cluster(), s.Records(), s.stores
		config.Relays = relayPeers(place, center.relays)
		config.Agents = []sample.Peer{{Name: AgentName(place.Center), GRPC: center.agent}}
	}
	return Spec{Name: name, Role: RoleSample, Place: place.Place, Env: env, Listeners: listeners}, config, err
}

// relayPeers are a center's relays, whose names are told by their order in the layout.
func relayPeers(place Place, addresses []string) []sample.Peer {
	var peers []sample.Peer
	for i, address := range addresses {
		peers = append(peers, sample.Peer{Name: RelayName(place.Center, i+1), GRPC: address})
	}
	return peers
}

// AddInstance makes a workload process with one instance of a service in a center known, which is in no registry yet;
// the caller starts it. Of a service of units it belongs to the first that has a cell there. An instance of the same
// name has the same port again.
func (s *Site) AddInstance(center, service, name string) (sample.Instance, error) {
	c := s.centers[center]
	unit := Unit{}
	if unitization := s.estate.Unitization(service); unitization != nil {
		units := unitization.here(center)
		if len(units) == 0 {
			return sample.Instance{}, fmt.Errorf("service %s has no cell in center %s", service, center)
		}
		unit = units[0]
	}
	in, err := s.instance(c.Place, service, unit, 0)
	if err != nil {
		return sample.Instance{}, err
	}
	in.Name = name
	spec, config, err := s.sample(c.Place, "sample-"+name, []sample.Instance{in}, nil)
	if err != nil {
		return sample.Instance{}, err
	}
	if err := s.ports.save(); err != nil {
		return sample.Instance{}, err
	}
	if err := s.add(spec, config); err != nil {
		return sample.Instance{}, err
	}
	return config.Instances[0], s.locate()
}

// Instances are the baseline instances of a center.
func (s *Site) Instances(center string) ([]sample.Instance, error) {
	config := &sample.ServerConfig{}
	err := process.LoadConfig(s.path("config", SampleName(center)+".yaml"), config)
	return config.Instances, err
}
