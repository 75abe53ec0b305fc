package model

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/model/modelpb"
)

func service() *modelpb.Service {
	return &modelpb.Service{Name: "orders.shop", CreatedUnixMs: 1, Ports: []*modelpb.Port{
		{Name: "grpc", Number: 9000, Protocol: modelpb.Protocol_PROTOCOL_GRPC},
		{Name: "http", Number: 80, Protocol: modelpb.Protocol_PROTOCOL_HTTP},
	}}
}

func endpoints() *modelpb.EndpointSlice {
	return &modelpb.EndpointSlice{Service: "orders.shop", PortNames: []string{"grpc", "http"},
		Endpoints: []*modelpb.Endpoint{
			{Address: "10.0.0.1", Ports: []uint32{9000, 9000}},
			{Address: "fd00::7", Ports: []uint32{9000, 80}, Weight: 3, State: modelpb.EndpointState_ENDPOINT_STATE_DRAINING},
		}}
}

func TestValidMessagesRoundTrip(t *testing.T) {
	for _, c := range []struct {
		kind, key string
		message   proto.Message
	}{
		{KindService, "orders.shop", service()},
		{KindEndpointSlice, SliceKey("orders.shop", "0"), endpoints()},
		{KindSourceReport, "vms", &modelpb.SourceReport{Source: "vms", Error: "no such file", Services: 2}},
	} {
		value, err := Encode(c.message)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(c.kind, c.key, value); err != nil {
			t.Errorf("%s: %v", c.kind, err)
		}
		if err := Check(c.kind, "other", value); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s under another key: %v, want ErrInvalid", c.kind, err)
		}
	}
	if got, err := DecodeService("orders.shop", must(t, service())); err != nil || !proto.Equal(got, service()) {
		t.Errorf("decoded %v, %v", got, err)
	}
	got, err := DecodeEndpointSlice("orders.shop/x", must(t, endpoints()))
	if err != nil || !proto.Equal(got, endpoints()) {
		t.Errorf("decoded %v, %v", got, err)
	}
}

func must(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEncodeNeverGivesATombstone(t *testing.T) {
	if b := must(t, &modelpb.EndpointSlice{}); b == nil {
		t.Fatal("the encoding of an empty message is nil, which deletes")
	}
}

func TestMalformedBytesAndUnknownKindsAreRefused(t *testing.T) {
	for _, kind := range []string{KindService, KindEndpointSlice, KindSourceReport} {
		if err := Check(kind, "a/b", []byte{0x0a, 0xff}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", kind, err)
		}
	}
	if err := Check("Ownership", "x", nil); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("got %v, want ErrUnknownKind", err)
	}
}

func TestEachRuleOfAServiceNamesFieldAndValue(t *testing.T) {
	for want, breakIt := range map[string]func(*modelpb.Service){
		`name: Invalid value: "Orders"`:                      func(s *modelpb.Service) { s.Name = "Orders" },
		`ports: Required value`:                              func(s *modelpb.Service) { s.Ports = nil },
		`ports[0].name: Invalid value: ""`:                   func(s *modelpb.Service) { s.Ports[0].Name = "" },
		`ports[1].name: Duplicate value: "grpc"`:             func(s *modelpb.Service) { s.Ports[1].Name = "grpc" },
		`ports[1].number: Duplicate value: 9000`:             func(s *modelpb.Service) { s.Ports[1].Number = 9000 },
		`ports[1].number: Invalid value: 0: must be`:         func(s *modelpb.Service) { s.Ports[1].Number = 0 },
		`ports[1].number: Invalid value: 65536: must be`:     func(s *modelpb.Service) { s.Ports[1].Number = 65536 },
		`ports[1].protocol: Unsupported value: "9"`:          func(s *modelpb.Service) { s.Ports[1].Protocol = 9 },
		`created_unix_ms: Invalid value: -1: must not be ne`: func(s *modelpb.Service) { s.CreatedUnixMs = -1 },
	} {
		s := service()
		breakIt(s)
		one(t, want, ValidateService(s).ToAggregate())
	}
}

func TestEachRuleOfASliceNamesFieldAndValue(t *testing.T) {
	type slice = modelpb.EndpointSlice
	for want, breakIt := range map[string]func(*slice){
		`service: Invalid value: "-"`:            func(s *slice) { s.Service = "-" },
		`port_names[0]: Invalid value: "a.b"`:    func(s *slice) { s.PortNames[0] = "a.b" },
		`port_names[1]: Duplicate value: "grpc"`: func(s *slice) { s.PortNames[1] = "grpc" },
		`endpoints[1].ports: Invalid value: [9000]: must have one number for each of the 2 port_names`: func(s *slice) {
			s.Endpoints[1].Ports = []uint32{9000}
		},
		`endpoints[1].ports[1]: Duplicate value: "10.0.0.1:9000"`: func(s *slice) {
			s.Endpoints[1] = &modelpb.Endpoint{Address: "10.0.0.1", Ports: []uint32{1, 9000}}
		},
		`endpoints[0].ports[1]: Invalid value: 70000`:  func(s *slice) { s.Endpoints[0].Ports[1] = 70000 },
		`endpoints[0].address: Invalid value: "host"`:  func(s *slice) { s.Endpoints[0].Address = "host" },
		`endpoints[0].address: Invalid value: ""`:      func(s *slice) { s.Endpoints[0].Address = "" },
		`must be spelled fd00::8`:                      func(s *slice) { s.Endpoints[0].Address = "fd00:0::8" },
		`must be spelled 10.0.0.2`:                     func(s *slice) { s.Endpoints[0].Address = "::ffff:10.0.0.2" },
		`must have no zone`:                            func(s *slice) { s.Endpoints[0].Address = "fe80::1%eth0" },
		`"0.0.0.0": must be an address of one machine`: func(s *slice) { s.Endpoints[0].Address = "0.0.0.0" },
		`endpoints[0].state: Unsupported value: "7"`:   func(s *slice) { s.Endpoints[0].State = 7 },
		`endpoints[0].weight: Invalid value: 65536`:    func(s *slice) { s.Endpoints[0].Weight = 65536 },
	} {
		s := endpoints()
		breakIt(s)
		one(t, want, ValidateEndpointSlice(s).ToAggregate())
	}
	if err := ValidateEndpointSlice(&modelpb.EndpointSlice{Service: "a"}).ToAggregate(); err == nil {
		t.Error("a slice without ports is valid")
	}
	big := endpoints()
	for len(big.Endpoints) <= MaxSliceEndpoints {
		big.Endpoints = append(big.Endpoints, big.Endpoints[0])
	}
	one(t, "endpoints: Too many: 1001: must have at most 1000 items", ValidateEndpointSlice(big).ToAggregate())
}

// one fails unless err is the one error that is wanted: a message that breaks one rule has one complaint.
func one(t *testing.T, want string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	} else if strings.HasPrefix(err.Error(), "[") {
		t.Errorf("more than one complaint: %v", err)
	}
}

func TestKeysOfSlicesAndFeeds(t *testing.T) {
	if s, n, ok := SplitSliceKey(SliceKey("a.b", "0")); s != "a.b" || n != "0" || !ok {
		t.Errorf("got %q %q %v", s, n, ok)
	}
	if c, s, ok := SplitFeedID(ReportsFeed("vm-hz-a")); c != "vm-hz-a" || s != ReportsSource || !ok {
		t.Errorf("got %q %q %v", c, s, ok)
	}
	for _, bad := range []string{"", "/", "a", "a/", "/a", "a/b/c"} {
		if _, _, ok := SplitSliceKey(bad); ok {
			t.Errorf("%q is taken for a key", bad)
		}
	}
}
