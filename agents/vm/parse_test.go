package vm

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

const good = `
services:
- name: orders
  ports: [{name: grpc, port: 9000, protocol: GRPC}, {name: admin, port: 80}]
  check: {type: http, port: admin, path: /healthz, interval: 2s, timeout: 100ms, healthy: 3, unhealthy: 4}
  instances:
  - {name: orders-1, address: 10.0.0.1, ports: {grpc: 34567, admin: 8080}, weight: 5, state: Draining}
  - {name: orders-2, address: "fd00::2", ports: {admin: 8080}, unit: rz01}
- name: empty
  ports: [{name: tcp, port: 1}]
  check: {type: grpc}
  instances: []
`

func TestAGoodFileIsReadInFull(t *testing.T) {
	got, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	want := &Registry{Services: []*Service{{
		Name: "orders",
		Ports: []Port{
			{"grpc", 9000, modelpb.Protocol_PROTOCOL_GRPC}, {"admin", 80, modelpb.Protocol_PROTOCOL_TCP},
		},
		Check: &Check{
			Type: CheckHTTP, Port: "admin", Path: "/healthz",
			Interval: 2 * time.Second, Timeout: 100 * time.Millisecond, Healthy: 3, Unhealthy: 4,
		},
		Instances: []*Instance{
			{"orders-1", "10.0.0.1", map[string]uint32{"grpc": 34567, "admin": 8080}, 5, true, ""},
			{"orders-2", "fd00::2", map[string]uint32{"admin": 8080}, 1, false, "rz01"},
		},
	}, {
		Name: "empty", Ports: []Port{{"tcp", 1, modelpb.Protocol_PROTOCOL_TCP}},
		Check: &Check{
			Type: CheckGRPC, Port: "tcp", Interval: time.Second, Timeout: 500 * time.Millisecond, Healthy: 1, Unhealthy: 2,
		},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %s\nwant %s", dump(got), dump(want))
	}
	asJSON := `{"services": [{"name": "a", "ports": [{"name": "p", "port": 1}], "instances": []}]}`
	if r, err := Parse([]byte(asJSON)); err != nil || len(r.Services) != 1 {
		t.Errorf("JSON: %v, %v", r, err)
	}
	if r, err := Parse([]byte("services: []")); err != nil || len(r.Services) != 0 {
		t.Errorf("an explicit empty set: %v, %v", r, err)
	}
}

func dump(r *Registry) string {
	var b strings.Builder
	for _, s := range r.Services {
		fmt.Fprintf(&b, "%s %v %+v", s.Name, s.Ports, s.Check)
		for _, i := range s.Instances {
			fmt.Fprintf(&b, " %+v", *i)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Each wrong file is refused with one complaint that names field, value and what would be right.
func TestAWrongFileIsRefusedWithFieldValueAndRemedy(t *testing.T) {
	const at = "services[0]."
	for _, c := range []struct{ old, bad, want string }{
		{good, "", "the file is empty: write services: []"},
		{good, "services:\n", "services: Required value: write [] for none"},
		{good, "- name: a\n", `must be a map with the field services`},
		{good, good + "---\nservices: []\n", "more than one document"},
		{good, "services: [\n", "line 1: did not find"},
		{"- name: orders\n", "- name: orders\n  name: orders\n", "already defined"},
		{"name: orders\n", "name: Orders\n", at + `name: Invalid value: "Orders": a lowercase RFC 1123 subdomain`},
		{"name: orders\n", "name: yes please\n", at + `name: Invalid value: "yes please"`},
		{"- name: orders\n", "- nmae: x\n  name: orders\n",
			at + `nmae: Invalid value: "x": unknown field; known are name, ports`},
		{"name: empty\n", "name: orders\n", `services[1].name: Duplicate value: "orders"`},
		{"  ports: [{name: tcp, port: 1}]", "  ports: []",
			"services[1].ports: Invalid value: \"[]\": must have at least one port"},
		{"  instances: []\n", "", "services[1].instances: Required value: write [] for none"},
		{"port: 9000", "port: 70000",
			at + "ports[0].port: Invalid value: 70000: must be a whole number from 1 to 65535"},
		{"port: 9000", "port: abc", at + `ports[0].port: Invalid value: "abc": must be a whole number`},
		{"port: 9000", "port: 80", at + "ports[1].port: Duplicate value: 80"},
		{"port: 9000, ", "", at + "ports[0].port: Required value"},
		{"admin, port: 80}", "admin, port: 80}, {name: grpc, port: 81}",
			at + `ports[2].name: Duplicate value: "grpc"`},
		{"protocol: GRPC", "protocol: QUIC",
			at + `ports[0].protocol: Unsupported value: "QUIC": supported values: "GRPC", "HTTP", "TCP"`},
		{"protocol: GRPC", "protocol: 1", at + `ports[0].protocol: Invalid value: 1: must be a string`},
		{"type: http", "type: ping",
			at + `check.type: Unsupported value: "ping": supported values: "grpc", "http", "tcp"`},
		{"type: http, port: admin, path: /healthz", "type: tcp, port: admin, path: /x",
			at + `check.path: Invalid value: "/x": only a check of type http`},
		{"path: /healthz", "path: healthz",
			at + `check.path: Invalid value: "healthz": must be a path that begins with /`},
		{"path: /healthz", "path: /, service: a",
			at + `check.service: Invalid value: "a": only a check of type grpc`},
		{"port: admin, path", "port: web, path",
			at + `check.port: Unsupported value: "web": supported values: "admin", "grpc"`},
		{"port: admin, path", "path", at + `check.port: Unsupported value: "": supported values: "admin", "grpc"`},
		{"interval: 2s", "interval: 2",
			at + "check.interval: Invalid value: 2: must be a duration from 10ms to 1h0m0s, like"},
		{"interval: 2s", "interval: 1ms", at + `check.interval: Invalid value: "1ms": must be a duration from 10ms`},
		{"timeout: 100ms", "timeout: 0s", at + `check.timeout: Invalid value: "0s": must be a duration from 1ms`},
		{"unhealthy: 4", "unhealthy: 0",
			at + "check.unhealthy: Invalid value: 0: must be a whole number from 1 to 100"},
		{"address: 10.0.0.1", "address: orders.local",
			at + `instances[0].address: Invalid value: "orders.local": must be an IPv4`},
		{"address: 10.0.0.1", "address: 10", at + `instances[0].address: Invalid value: 10: must be a string`},
		{"grpc: 34567, admin", "gprc: 34567, admin",
			at + `instances[0].ports.gprc: Invalid value: 34567: unknown field; known are grpc, admin`},
		{"grpc: 34567", "grpc: 0", at + "instances[0].ports.grpc: Invalid value: 0: must be a whole number from 1"},
		{"{grpc: 34567, admin: 8080}", "{grpc: 34567}",
			at + "instances[0].ports.admin: Required value: the check asks this port"},
		{"weight: 5", "weight: 0",
			at + "instances[0].weight: Invalid value: 0: must be a whole number from 1 to 65535"},
		{"weight: 5", "weight: 1.5", at + "instances[0].weight: Invalid value: 1.5: must be a whole number"},
		{"state: Draining", "state: draining",
			at + `instances[0].state: Unsupported value: "draining": supported values: "Draining", "Ready"`},
		{"unit: rz01", "unit: RZ_01", at + `instances[1].unit: Invalid value: "RZ_01": a lowercase RFC 1123 label`},
		{"name: orders-2", "name: orders-1", at + `instances[1].name: Duplicate value: "orders-1"`},
		{`address: "fd00::2"`, "address: 10.0.0.1",
			at + `instances[1].ports[admin]: Invalid value: 8080: 10.0.0.1:8080 is already that of instance "orders-1"`},
	} {
		text := strings.Replace(good, c.old, c.bad, 1)
		if text == good {
			t.Fatalf("%q is not in the good file", c.old)
		}
		r, err := Parse([]byte(text))
		switch {
		case r != nil || err == nil:
			t.Errorf("%q is taken", c.bad)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%q: got %v\nwant %s", c.bad, err, c.want)
		case strings.HasPrefix(err.Error(), "["):
			t.Errorf("%q: more than one complaint: %v", c.bad, err)
		}
	}
}

func TestAllMistakesAreNamedAtOnce(t *testing.T) {
	text := strings.NewReplacer("port: 9000", "port: x", "weight: 5", "weight: x", "type: grpc", "type: x").Replace(good)
	_, err := Parse([]byte(text))
	for _, want := range []string{"[0].ports[0].port", "[0].instances[0].weight", "[1].check.type"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestManyMistakesAreCounted(t *testing.T) {
	text := "services:\n"
	for range 50 {
		text += "- {name: X}\n"
	}
	_, err := Parse([]byte(text))
	if err == nil || !contains(err, "services[0].name") || !contains(err, "more mistakes") || len(err.Error()) > 8000 {
		t.Errorf("got %.9000s", err)
	}
}

// What Parse takes makes valid records, and what it refuses it refuses without a panic.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{good, "", "services: []", "services: [{name: a, ports: {}, instances: 3}]", "a: &a [*a]",
		`{"services":[{"name":"a","ports":[{"name":"p","port":1}],` +
			`"instances":[{"name":"i","address":"::1","ports":{"p":1}}]}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			if err.Error() == "" || r != nil {
				t.Fatalf("refused without a word, or with a registry: %q %v", err, r)
			}
			return
		}
		for _, s := range r.Services {
			message := &modelpb.Service{Name: s.Name}
			known := map[string]bool{}
			for _, p := range s.Ports {
				known[p.Name] = true
				message.Ports = append(message.Ports, &modelpb.Port{Name: p.Name, Number: p.Number, Protocol: p.Protocol})
			}
			if errs := model.ValidateService(message); len(errs) > 0 {
				t.Fatal(errs)
			}
			if s.Check != nil && (!known[s.Check.Port] || s.Check.Interval <= 0 || s.Check.Timeout <= 0 || s.Check.Type == "") {
				t.Fatalf("check %+v", s.Check)
			}
			for _, i := range s.Instances {
				slice := &modelpb.EndpointSlice{Service: s.Name}
				e := &modelpb.Endpoint{Address: i.Address, Weight: i.Weight}
				for name := range maps.Keys(i.Ports) {
					slice.PortNames, e.Ports = append(slice.PortNames, name), append(e.Ports, i.Ports[name])
				}
				slice.Endpoints = []*modelpb.Endpoint{e}
				if errs := model.ValidateEndpointSlice(slice); len(errs) > 0 {
					t.Fatal(errs)
				}
				if s.Check != nil && i.Ports[s.Check.Port] == 0 {
					t.Fatalf("instance %s cannot be checked", i.Name)
				}
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := "services:\n- name: orders\n  ports: [{name: p, port: 9000}]\n  instances:\n"
	for i := range 10000 {
		text += fmt.Sprintf("  - {name: i%d, address: 10.0.%d.%d, ports: {p: 80}}\n", i, i/250, i%250+1)
	}
	for b.Loop() {
		if _, err := Parse([]byte(text)); err != nil {
			b.Fatal(err)
		}
	}
}
