package dev

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"

	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/dev/sample/record"
)

// Instance states in a registry file.
const (
	Ready    = "Ready"
	Draining = "Draining"
)

// Health checks of the sample's instances: a killed instance is out after about half a second.
const (
	checkInterval = "250ms"
	checkTimeout  = "250ms"
)

// Registry is the static registry file of one cluster, which its agent watches. It is the only writer while a drill
// runs; between runs people may edit the file.
type Registry struct {
	path string

	mu       sync.Mutex
	services []registryService
}

// The registry file's form; see agents/vm.
type registryFile struct {
	Services []registryService `json:"services"`
}

type registryService struct {
	Name      string             `json:"name"`
	Ports     []registryPort     `json:"ports"`
	Check     registryCheck      `json:"check"`
	Instances []registryInstance `json:"instances"`
}

type registryPort struct {
	Name     string `json:"name"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
}

type registryCheck struct {
	Type      string `json:"type"`
	Port      string `json:"port"`
	Interval  string `json:"interval"`
	Timeout   string `json:"timeout"`
	Healthy   int    `json:"healthy"`
	Unhealthy int    `json:"unhealthy"`
}

type registryInstance struct {
	Name    string         `json:"name"`
	Address string         `json:"address"`
	Ports   map[string]int `json:"ports"`
	Weight  int            `json:"weight"`
	State   string         `json:"state"`
	Unit    string         `json:"unit,omitempty"`
}

// openRegistry writes the file with the given instances, unless there is one already: then it is kept as it is,
// somebody may have edited it, and cannot be changed from here.
func openRegistry(path string, services []Service, instances []sample.Instance) (*Registry, error) {
	if _, err := os.Stat(path); err == nil {
		return &Registry{path: path}, nil
	}
	r := newRegistry(path, services)
	for _, in := range instances {
		if err := r.set(in, Ready); err != nil {
			return nil, err
		}
	}
	_, err := r.write()
	return r, err
}

func newRegistry(path string, services []Service) *Registry {
	r := &Registry{path: path}
	for _, s := range services {
		r.services = append(r.services, registryService{
			Name:  s.Name,
			Ports: []registryPort{{Name: sample.PortName, Port: sample.PortNumber, Protocol: "GRPC"}},
			Check: registryCheck{
				Type: "grpc", Port: sample.PortName, Interval: checkInterval, Timeout: checkTimeout, Healthy: 1, Unhealthy: 2,
			},
			Instances: []registryInstance{},
		})
	}
	return r
}

// Put adds an instance or changes its state. The returned instant is just before the new file was put in place.
func (r *Registry) Put(in sample.Instance, state string) (record.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.set(in, state); err != nil {
		return 0, err
	}
	return r.write()
}

// Remove takes an instance out. The returned instant is just before the new file was put in place.
func (r *Registry) Remove(in sample.Instance) (record.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.service(in.Service)
	if err != nil {
		return 0, err
	}
	s.Instances = slices.DeleteFunc(s.Instances, func(i registryInstance) bool { return i.Name == in.Name })
	return r.write()
}

func (r *Registry) set(in sample.Instance, state string) error {
	s, err := r.service(in.Service)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddrPort(in.Listen)
	if err != nil {
		return err
	}
	entry := registryInstance{
		Name: in.Name, Address: address.Addr().String(), Ports: map[string]int{sample.PortName: int(address.Port())},
		Weight: 1, State: state, Unit: in.Unit,
	}
	if i := slices.IndexFunc(s.Instances, func(i registryInstance) bool { return i.Name == in.Name }); i >= 0 {
		s.Instances[i] = entry
	} else {
		s.Instances = append(s.Instances, entry)
	}
	return nil
}

func (r *Registry) service(name string) (*registryService, error) {
	if i := slices.IndexFunc(r.services, func(s registryService) bool { return s.Name == name }); i >= 0 {
		return &r.services[i], nil
	}
	return nil, fmt.Errorf("registry %s: no service %q that could be changed from here", r.path, name)
}

func (r *Registry) write() (record.Time, error) {
	data, err := yaml.Marshal(registryFile{Services: r.services})
	if err != nil {
		return 0, err
	}
	at := record.Now()
	return at, replaceFile(r.path, data, 0o644)
}
