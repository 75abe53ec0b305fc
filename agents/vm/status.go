package vm

import (
	"maps"
	"slices"
)

// InstanceStatus is what the source knows of one instance, for operators.
type InstanceStatus struct {
	Service  string `json:"service"`
	Instance string `json:"instance"`
	Address  string `json:"address"`
	// State is Ready, Draining, Unhealthy, or Unchecked while the first check is not over.
	State string `json:"state"`
	// Error is the check that failed.
	Error string `json:"error,omitempty"`
}

// Status lists the instances by service, in the file's order. Any goroutine may call it.
func (s *Source) Status() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []InstanceStatus{}
	if s.estate == nil {
		return all
	}
	for _, name := range slices.Sorted(maps.Keys(s.estate.services)) {
		for _, i := range s.estate.services[name].instances {
			all = append(all, i.status())
		}
	}
	return all
}

func (i *running) status() InstanceStatus {
	s := InstanceStatus{Service: i.service, Instance: i.Name, Address: i.Address, State: "Ready"}
	switch {
	case i.Draining:
		s.State = "Draining"
	case i.monitor != nil && !i.judged:
		s.State = "Unchecked"
	case i.monitor != nil && !i.healthy:
		s.State = "Unhealthy"
	}
	if i.why != nil {
		s.Error = i.why.Error()
	}
	return s
}
