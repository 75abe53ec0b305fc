package source

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// SliceSize is the most endpoints that a Table puts into one slice.
const SliceSize = 100

// Table is the services and endpoints of one source, and the records that say them. It belongs to one goroutine.
type Table struct {
	services map[string]*service
	// dirty are the records that Changes has to look at, by kind and key.
	dirty map[recordKey]struct{}
}

type recordKey struct{ kind, key string }

type service struct {
	message *modelpb.Service
	// slices by number, which is the slice's name; nil where one was emptied.
	slices    []*slice
	endpoints map[string]placed
}

// slice has the endpoints that serve the same ports, of one unit.
type slice struct {
	key       string
	unit      string
	portNames []string
	endpoints map[string]*modelpb.Endpoint
}

type placed struct {
	slice  int
	digest string
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{services: map[string]*service{}, dirty: map[recordKey]struct{}{}}
}

// PutService states a service, new or changed. The table takes the message over.
func (t *Table) PutService(s *modelpb.Service) {
	have := t.services[s.GetName()]
	if have == nil {
		have = &service{endpoints: map[string]placed{}}
		t.services[s.GetName()] = have
	} else if proto.Equal(have.message, s) {
		return
	}
	have.message = s
	t.dirty[recordKey{model.KindService, s.GetName()}] = struct{}{}
}

// DeleteService removes a service and its endpoints.
func (t *Table) DeleteService(name string) {
	s := t.services[name]
	if s == nil {
		return
	}
	for _, sl := range s.slices {
		if sl != nil {
			t.dirty[recordKey{model.KindEndpointSlice, sl.key}] = struct{}{}
		}
	}
	t.dirty[recordKey{model.KindService, name}] = struct{}{}
	delete(t.services, name)
}

// PutEndpoint states an endpoint of a service that PutService has stated; id names it within the service for as long as
// it lives, and ports are by the service's port names. The table takes the message over and fills its Ports.
func (t *Table) PutEndpoint(serviceName, id string, ports map[string]uint32, e *modelpb.Endpoint) {
	t.PutUnitEndpoint(serviceName, "", id, ports, e)
}

// PutUnitEndpoint is PutEndpoint for an endpoint that belongs to one unit; empty: to every unit with a cell here.
func (t *Table) PutUnitEndpoint(serviceName, unit, id string, ports map[string]uint32, e *modelpb.Endpoint) {
	s := t.services[serviceName]
	names := slices.Sorted(maps.Keys(ports))
	e.Ports = make([]uint32, len(names))
	for i, name := range names {
		e.Ports[i] = ports[name]
	}
	set := unit + "/" + strings.Join(names, ",")
	at, there := s.endpoints[id]
	if there && at.digest != set { // it serves other ports or another unit now, so it belongs in another slice
		t.DeleteEndpoint(serviceName, id)
		there = false
	}
	if !there {
		at = placed{s.room(serviceName, unit, names), set}
		s.endpoints[id] = at
	}
	sl := s.slices[at.slice]
	if proto.Equal(sl.endpoints[id], e) {
		return
	}
	sl.endpoints[id] = e
	t.dirty[recordKey{model.KindEndpointSlice, sl.key}] = struct{}{}
}

// DeleteEndpoint removes an endpoint, if it is there.
func (t *Table) DeleteEndpoint(serviceName, id string) {
	s := t.services[serviceName]
	if s == nil {
		return
	}
	at, there := s.endpoints[id]
	if !there {
		return
	}
	delete(s.endpoints, id)
	sl := s.slices[at.slice]
	delete(sl.endpoints, id)
	if len(sl.endpoints) == 0 {
		s.slices[at.slice] = nil
	}
	t.dirty[recordKey{model.KindEndpointSlice, sl.key}] = struct{}{}
}

// room is the number of a slice for one more endpoint of this unit with these ports: the first that has room, so that
// churn fills gaps before it makes slices.
func (s *service) room(name, unit string, ports []string) int {
	free := -1
	for i, sl := range s.slices {
		switch {
		case sl == nil:
			if free < 0 {
				free = i
			}
		case sl.unit == unit && len(sl.endpoints) < SliceSize && slices.Equal(sl.portNames, ports):
			return i
		}
	}
	if free < 0 {
		free = len(s.slices)
		s.slices = append(s.slices, nil)
	}
	key := model.SliceKey(name, strconv.Itoa(free))
	s.slices[free] = &slice{key: key, unit: unit, portNames: ports, endpoints: map[string]*modelpb.Endpoint{}}
	return free
}

// Changes returns the records that differ since the last call of Changes or Whole, sorted; it costs as much as what
// changed.
func (t *Table) Changes() ([]feed.Change, error) {
	changes := make([]feed.Change, 0, len(t.dirty))
	for k := range t.dirty {
		change, err := t.record(k)
		if err != nil {
			return nil, err
		}
		changes = append(changes, change)
	}
	clear(t.dirty)
	slices.SortFunc(changes, func(a, b feed.Change) int {
		return strings.Compare(a.Kind+"\x00"+a.Key, b.Kind+"\x00"+b.Key)
	})
	return changes, nil
}

// Whole returns every record, sorted.
func (t *Table) Whole() ([]feed.Change, error) {
	clear(t.dirty)
	for name, s := range t.services {
		t.dirty[recordKey{model.KindService, name}] = struct{}{}
		for _, sl := range s.slices {
			if sl != nil {
				t.dirty[recordKey{model.KindEndpointSlice, sl.key}] = struct{}{}
			}
		}
	}
	return t.Changes()
}

func (t *Table) record(k recordKey) (feed.Change, error) {
	change := feed.Change{Kind: k.kind, Key: k.key}
	var message proto.Message
	switch k.kind {
	case model.KindService:
		s := t.services[k.key]
		if s == nil {
			return change, nil
		}
		message = s.message
	case model.KindEndpointSlice:
		sl, name := t.slice(k.key)
		if sl == nil {
			return change, nil
		}
		message = sl.message(name)
	}
	value, err := model.Encode(message)
	if err != nil {
		return change, fmt.Errorf("%s %q: %w", k.kind, k.key, err)
	}
	change.Value = value
	return change, nil
}

// slice finds the slice of a key, nil when it is gone.
func (t *Table) slice(key string) (*slice, string) {
	name, number, _ := model.SplitSliceKey(key)
	s := t.services[name]
	i, err := strconv.Atoi(number)
	if s == nil || err != nil || i >= len(s.slices) {
		return nil, name
	}
	return s.slices[i], name
}

func (sl *slice) message(service string) *modelpb.EndpointSlice {
	m := &modelpb.EndpointSlice{Service: service, PortNames: sl.portNames, Unit: sl.unit}
	for _, id := range slices.Sorted(maps.Keys(sl.endpoints)) {
		m.Endpoints = append(m.Endpoints, sl.endpoints[id])
	}
	return m
}
