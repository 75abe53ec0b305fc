package catalog

import (
	"fmt"
	"net/netip"
	"slices"

	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// Slice is a decoded EndpointSlice. It is immutable. Endpoints are by far the most of what a catalog holds, so they are
// kept without pointers: small, and nothing for the garbage collector to follow.
type Slice struct {
	unit      string
	portNames []string
	endpoints []packed
	// ports are the endpoints' port numbers, len(portNames) for each endpoint.
	ports []uint16
}

type packed struct {
	address [16]byte
	weight  uint32
	is4     bool
	state   uint8
}

func decodeSlice(key string, value []byte) (*Slice, error) {
	m, err := model.DecodeEndpointSlice(key, value)
	if err != nil {
		return nil, err
	}
	return NewSlice(m)
}

// NewSlice packs a valid EndpointSlice.
func NewSlice(m *modelpb.EndpointSlice) (*Slice, error) {
	s := &Slice{
		unit:      m.GetUnit(),
		portNames: m.GetPortNames(),
		endpoints: make([]packed, len(m.GetEndpoints())),
		ports:     make([]uint16, 0, len(m.GetEndpoints())*len(m.GetPortNames())),
	}
	for i, e := range m.GetEndpoints() {
		a, err := netip.ParseAddr(e.GetAddress())
		if err != nil {
			return nil, fmt.Errorf("endpoints[%d].address: %w", i, err)
		}
		if len(e.GetPorts()) != len(s.portNames) {
			return nil, fmt.Errorf("endpoints[%d].ports: %d, want %d, as port_names", i, len(e.GetPorts()), len(s.portNames))
		}
		s.endpoints[i] = packed{address: a.As16(), weight: max(e.GetWeight(), 1), is4: a.Is4(), state: uint8(e.GetState())}
		for _, p := range e.GetPorts() {
			s.ports = append(s.ports, uint16(p))
		}
	}
	return s, nil
}

// Len is how many endpoints the slice has.
func (s *Slice) Len() int { return len(s.endpoints) }

// Unit is the unit that the endpoints belong to; empty: every unit with a cell here.
func (s *Slice) Unit() string { return s.unit }

func (s *Slice) equal(o *Slice) bool {
	return s == o || s.unit == o.unit && slices.Equal(s.portNames, o.portNames) &&
		slices.Equal(s.endpoints, o.endpoints) && slices.Equal(s.ports, o.ports)
}

// all calls yield for each endpoint that serves the named port, until it says false.
func (s *Slice) all(port string, yield func(Endpoint) bool) bool {
	at := slices.Index(s.portNames, port)
	if at < 0 {
		return true
	}
	for i, e := range s.endpoints {
		address := netip.AddrFrom16(e.address)
		if e.is4 {
			address = address.Unmap()
		}
		if !yield(Endpoint{
			Address: address, Port: s.ports[i*len(s.portNames)+at], State: modelpb.EndpointState(e.state), Weight: e.weight,
		}) {
			return false
		}
	}
	return true
}
