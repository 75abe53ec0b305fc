package source

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

func svc(name string) *modelpb.Service {
	return &modelpb.Service{Name: name, Ports: []*modelpb.Port{{Name: "grpc", Number: 9000}, {Name: "http", Number: 80}}}
}

func endpoint(i int) *modelpb.Endpoint {
	return &modelpb.Endpoint{Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)}
}

func filled(t testing.TB, n int) *Table {
	t.Helper()
	table := NewTable()
	table.PutService(svc("orders"))
	for i := range n {
		table.PutEndpoint("orders", fmt.Sprintf("orders-%05d", i), map[string]uint32{"grpc": 9000}, endpoint(i))
	}
	if _, err := table.Whole(); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestOneEndpointsChangeRewritesOneSlice(t *testing.T) {
	table := filled(t, 1050)
	e := endpoint(500)
	e.State = modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY
	table.PutEndpoint("orders", "orders-00500", map[string]uint32{"grpc": 9000}, e)
	wantKeys(t, table, "orders/5")

	table.DeleteEndpoint("orders", "orders-00001")
	wantKeys(t, table, "orders/0")

	table.PutEndpoint("orders", "new", map[string]uint32{"grpc": 9001}, endpoint(2000)) // fills the gap
	wantKeys(t, table, "orders/0")

	table.PutEndpoint("orders", "new", map[string]uint32{"grpc": 9001}, endpoint(2000)) // nothing new
	table.PutService(svc("orders"))
	wantKeys(t, table)
}

func TestEndpointsOfTwoUnitsAreInSlicesOfTheirOwn(t *testing.T) {
	table := NewTable()
	table.PutService(svc("orders"))
	ports := map[string]uint32{"grpc": 9000}
	table.PutUnitEndpoint("orders", "rz01", "a", ports, endpoint(1))
	table.PutUnitEndpoint("orders", "rz02", "b", ports, endpoint(2))
	table.PutUnitEndpoint("orders", "rz01", "c", ports, endpoint(3))
	table.PutEndpoint("orders", "d", ports, endpoint(4))
	units(t, table, "rz01:a,c", "rz02:b", ":d")
	table.PutUnitEndpoint("orders", "rz02", "c", ports, endpoint(3)) // it moved
	units(t, table, "rz01:a", "rz02:b,c", ":d")
}

// units checks the slices, each as its unit and the endpoints by their letters.
func units(t *testing.T, table *Table, want ...string) {
	t.Helper()
	changes, err := table.Whole()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		if c.Kind != model.KindEndpointSlice {
			continue
		}
		m := &modelpb.EndpointSlice{}
		if err := proto.Unmarshal(c.Value, m); err != nil {
			t.Fatal(err)
		}
		var letters []string
		for _, e := range m.GetEndpoints() {
			letters = append(letters, string('a'+e.GetAddress()[len(e.GetAddress())-1]-'2'))
		}
		got = append(got, m.GetUnit()+":"+strings.Join(letters, ","))
	}
	if !slices.Equal(got, want) {
		t.Errorf("slices %v, want %v", got, want)
	}
}

func wantKeys(t *testing.T, table *Table, want ...string) {
	t.Helper()
	changes, err := table.Changes()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, c := range changes {
		keys = append(keys, c.Key)
	}
	if !slices.Equal(keys, want) {
		t.Errorf("changed %v, want %v", keys, want)
	}
}

// The records of all Changes add up to those of Whole, each is valid, and together they say what was put in.
func TestChangesAddUpToWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := NewTable()
		held := map[string][]byte{}
		type instance struct{ service, id string }
		want := map[instance]string{}
		name := rapid.SampledFrom([]string{"catalog", "orders"})
		ports := rapid.SampledFrom([]map[string]uint32{{"grpc": 1}, {"grpc": 2}, {"grpc": 1, "http": 3}, {"http": 3}})
		present := map[string]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"service": func(t *rapid.T) {
				s := svc(name.Draw(t, "service"))
				s.CreatedUnixMs = rapid.Int64Range(0, 1).Draw(t, "created")
				table.PutService(s)
				present[s.Name] = true
			},
			"delete service": func(t *rapid.T) {
				s := name.Draw(t, "service")
				table.DeleteService(s)
				delete(present, s)
				maps.DeleteFunc(want, func(i instance, _ string) bool { return i.service == s })
			},
			"endpoint": func(t *rapid.T) {
				s := name.Draw(t, "service")
				if !present[s] {
					return
				}
				i := rapid.IntRange(0, 250).Draw(t, "instance")
				e, p := endpoint(i), ports.Draw(t, "ports")
				e.State = modelpb.EndpointState(rapid.IntRange(0, 2).Draw(t, "state"))
				table.PutEndpoint(s, fmt.Sprint(i), p, e)
				want[instance{s, e.Address}] = fmt.Sprint(p, e.State)
			},
			"many": func(t *rapid.T) {
				if !present["orders"] {
					return
				}
				for i := range 130 {
					table.PutEndpoint("orders", fmt.Sprint(i), map[string]uint32{"grpc": 1}, endpoint(i))
					want[instance{"orders", endpoint(i).Address}] = fmt.Sprint(map[string]uint32{"grpc": 1}, modelpb.EndpointState(0))
				}
			},
			"delete endpoint": func(t *rapid.T) {
				s, i := name.Draw(t, "service"), rapid.IntRange(0, 250).Draw(t, "instance")
				table.DeleteEndpoint(s, fmt.Sprint(i))
				delete(want, instance{s, endpoint(i).Address})
			},
			"": func(t *rapid.T) {
				changes, err := table.Changes()
				if err != nil {
					t.Fatal(err)
				}
				apply(held, changes)
				whole, err := table.Whole()
				if err != nil {
					t.Fatal(err)
				}
				all := map[string][]byte{}
				apply(all, whole)
				if !maps.EqualFunc(held, all, func(a, b []byte) bool { return string(a) == string(b) }) {
					t.Fatalf("changes add up to %d records, the whole has %d", len(held), len(all))
				}
				got := map[instance]string{}
				for _, c := range whole {
					if err := model.Check(c.Kind, c.Key, c.Value); err != nil {
						t.Fatal(err)
					}
					if c.Kind != model.KindEndpointSlice {
						continue
					}
					sl, _ := model.DecodeEndpointSlice(c.Key, c.Value)
					if len(sl.Endpoints) > SliceSize || len(sl.Endpoints) == 0 {
						t.Fatalf("slice %s has %d endpoints", c.Key, len(sl.Endpoints))
					}
					for _, e := range sl.Endpoints {
						p := map[string]uint32{}
						for i, n := range sl.PortNames {
							p[n] = e.Ports[i]
						}
						got[instance{sl.Service, e.Address}] = fmt.Sprint(p, e.State)
					}
				}
				if !maps.Equal(got, want) {
					t.Fatalf("records say %v, want %v", got, want)
				}
			},
		})
	})
}

func apply(held map[string][]byte, changes []feed.Change) {
	for _, c := range changes {
		if c.Value == nil {
			delete(held, c.Kind+" "+c.Key)
		} else {
			held[c.Kind+" "+c.Key] = c.Value
		}
	}
}

func TestTheBookOfExportsSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "since.json")
	open := func() *Since {
		book, err := OpenSince(path)
		if err != nil {
			t.Fatal(err)
		}
		return book
	}
	book := open()
	book.UnixMs("orders", time.UnixMilli(7))
	if err := book.Save(); err != nil {
		t.Fatal(err)
	}
	book = open()
	if got := book.UnixMs("orders", time.UnixMilli(9)); got != 7 {
		t.Errorf("after a restart the export began at %d, want 7", got)
	}
	book.Forget("orders")
	if err := book.Save(); err != nil {
		t.Fatal(err)
	}
	if got := open().UnixMs("orders", time.UnixMilli(9)); got != 9 {
		t.Errorf("an export that ended and came back began at %d, want 9", got)
	}
	if err := WriteFile(path, []byte("{\"orders\":")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSince(path); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged book gives %v, want an error with its path", err)
	}
}

// One endpoint's change costs the same in a service of a hundred endpoints and in one of ten thousand.
func BenchmarkOneEndpointsChange(b *testing.B) {
	for _, n := range []int{100, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := filled(b, n)
			ports := map[string]uint32{"grpc": 9000}
			for i := 0; b.Loop(); i++ {
				e := endpoint(50)
				e.State = modelpb.EndpointState(i % 3)
				table.PutEndpoint("orders", "orders-00050", ports, e)
				if changes, err := table.Changes(); err != nil || len(changes) > 1 {
					b.Fatal(len(changes), err)
				}
			}
		})
	}
}
