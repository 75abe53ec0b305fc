package render

import (
	"cmp"
	"fmt"
	"testing"

	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/crds/v1alpha1"
)

// hosts are n ready endpoints of the port grpc at addresses 10.<net>.0.1 and up.
func hosts(net, n int, state string) []exportedHost {
	var out []exportedHost
	for i := range n {
		out = append(out, exportedHost{
			Address: fmt.Sprintf("10.%d.%d.%d", net, i/250, i%250+1), Ports: map[string]uint32{"grpc": 9000}, State: state,
		})
	}
	return out
}

// scenario is a golden test's input.
type scenario struct {
	View    scenarioView `json:"view"`
	Service string       `json:"service"`
	// Policy is the ServicePolicy's spec without the service.
	Policy  *v1alpha1.ServicePolicySpec `json:"policy"`
	Exports []export                    `json:"exports"`
	// Also are other services to be rendered.
	Also []string `json:"also"`
	// Unitizations are the specs, Ownership the maps, by name.
	Unitizations map[string]v1alpha1.UnitizationSpec   `json:"unitizations"`
	Ownership    map[string]v1alpha1.UnitizationStatus `json:"ownership"`
	OnDemand     []Name                                `json:"onDemand"`
}

type scenarioView struct {
	Region string `json:"region"`
	Center string `json:"center"`
}

func (s scenario) view() View {
	return View{Class: ClassGRPC, Region: s.View.Region, Center: s.View.Center}
}

func parseScenario(t testing.TB, text []byte) scenario {
	t.Helper()
	var s scenario
	if err := yaml.UnmarshalStrict(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// enact gives a new world what the scenario says.
func (s scenario) enact(t testing.TB) *world {
	w := newWorld(t)
	if s.Policy != nil {
		p := *s.Policy
		p.Service = s.Service
		w.policy(p)
	}
	for _, e := range s.Exports {
		w.export(cmp.Or(e.Service, s.Service), e)
	}
	for name, spec := range s.Unitizations {
		w.unitization(name, spec)
	}
	for name, status := range s.Ownership {
		w.own(name, status)
	}
	return w
}
