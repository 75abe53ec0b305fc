package render

import (
	"fmt"
	"strconv"
	"strings"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"

	"pentad.dev/pentad/federation/catalog"
)

// unitCall is a call to a service with units; headers that are not there are nil.
type unitCall struct {
	path        string
	shard, cell []string
}

func (c unitCall) String() string { return fmt.Sprintf("%s shard %q cell %q", c.path, c.shard, c.cell) }

// outcome is what becomes of a call.
type outcome struct {
	// cell is where it goes; empty: it is refused with FAILED_PRECONDITION.
	cell string
	// frozen says that it is refused by the route that would take it.
	frozen bool
}

// wrongUnits says what is wrong with the resources rendered for a service with units; empty: nothing.
func wrongUnits(s *catalog.Service, v View) string {
	resources, err := Service(s, v)
	if err != nil {
		return err.Error()
	}
	if why := unresolved(resources); why != "" {
		return why
	}
	if why := unnamed(s, resources); why != "" {
		return why
	}
	config := routesOf(resources)
	for _, c := range callsOf(s.Units) {
		got, why := take(s, config, c)
		if why != "" {
			return fmt.Sprintf("%s: %s", c, why)
		}
		if want := whereTo(s.Units, c, v); got != want {
			return fmt.Sprintf("%s: %+v, want %+v", c, got, want)
		}
	}
	return ""
}

func routesOf(resources []Resource) *routev3.RouteConfiguration {
	for _, r := range resources {
		if r.Type == TypeRoute {
			return message[*routev3.RouteConfiguration](r)
		}
	}
	return nil
}

// callsOf are a call for every shard and kind of method, and all the ways to get the headers wrong.
func callsOf(u *catalog.Units) []unitCall {
	paths := []string{"/shop.Orders/Put", "/shop.Orders/Get", "/shop.Orders/GetAll", "/shop.Find/Any", "/"}
	shards := [][]string{nil, {""}, {"-1"}, {"x"}, {"1.0"}, {"0", "1"}, {"1", "1"}, {strconv.Itoa(u.Shards)},
		{"99999999999999999999"}}
	for i := range u.Shards {
		shards = append(shards, []string{strconv.Itoa(i)})
	}
	cells := [][]string{nil, {"nosuch.hz-a"}}
	for _, c := range u.Cells {
		cells = append(cells, []string{c.Name})
	}
	if len(u.Cells) > 1 {
		cells = append(cells, []string{u.Cells[0].Name, u.Cells[1].Name})
	}
	var out []unitCall
	for _, path := range paths {
		for _, shard := range shards {
			out = append(out, unitCall{path, shard, nil})
		}
		for _, cell := range cells {
			out = append(out, unitCall{path, []string{"0"}, cell}, unitCall{path, nil, cell})
		}
	}
	return out
}

// take sends a call through the routes as gRPC does: the first one that matches decides.
func take(s *catalog.Service, config *routev3.RouteConfiguration, c unitCall) (outcome, string) {
	routes := config.GetVirtualHosts()[0].GetRoutes()
	for i, r := range routes {
		ok, why := matches(r.GetMatch(), c)
		if why != "" {
			return outcome{}, why
		}
		if !ok {
			continue
		}
		abort, why := aborts(r)
		last := i == len(routes)-1
		cell := strings.TrimPrefix(r.GetRoute().GetCluster(), s.Name+":grpc/")
		switch {
		case why != "":
			return outcome{}, why
		case last && !abort:
			return outcome{}, "the last route takes calls: " + r.String()
		case abort:
			return outcome{frozen: !last}, ""
		case s.Units.Cell(cell) == nil:
			return outcome{}, fmt.Sprintf("goes to cluster %q, which is no candidate cell's", r.GetRoute().GetCluster())
		}
		return outcome{cell: cell}, ""
	}
	return outcome{}, "no route matches"
}

func matches(m *routev3.RouteMatch, c unitCall) (bool, string) {
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		if !strings.HasPrefix(c.path, p.Prefix) {
			return false, ""
		}
	case *routev3.RouteMatch_Path:
		if c.path != p.Path {
			return false, ""
		}
	default:
		return false, fmt.Sprintf("path specifier %T", p)
	}
	for _, h := range m.GetHeaders() {
		values := map[string][]string{"x-pentad-shard": c.shard, "x-pentad-cell": c.cell}[h.GetName()]
		if h.GetInvertMatch() {
			return false, "invert_match"
		}
		value := strings.Join(values, ",")
		switch r := h.GetRangeMatch(); {
		case values == nil:
			return false, ""
		case r != nil:
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < r.GetStart() || n >= r.GetEnd() {
				return false, ""
			}
		case value != h.GetStringMatch().GetExact():
			return false, ""
		}
	}
	return true, ""
}

func aborts(r *routev3.Route) (bool, string) {
	packed := r.GetTypedPerFilterConfig()["envoy.filters.http.fault"]
	if packed == nil {
		return false, ""
	}
	fault := &faultv3.HTTPFault{}
	if err := packed.UnmarshalTo(fault); err != nil {
		return false, err.Error()
	}
	p := fault.GetAbort().GetPercentage()
	if fault.GetAbort().GetGrpcStatus() != 9 || p.GetNumerator() != 100 || p.GetDenominator() != 0 {
		return false, "an abort that is not FAILED_PRECONDITION for all: " + fault.String()
	}
	return true, ""
}

// unnamed finds candidate cells without a cluster, without endpoints, or with another unit's, or that no route names;
// and a name that refuses and has endpoints.
func unnamed(s *catalog.Service, resources []Resource) string {
	assignments, clusters := map[string]map[string]bool{}, map[string]bool{}
	for _, r := range resources {
		switch r.Type {
		case TypeCluster:
			clusters[r.Name] = true
		case TypeEndpoint:
			assignments[r.Name] = addressesOf(message[*endpointv3.ClusterLoadAssignment](r))
		}
	}
	if got, ok := assignments["orders:grpc"]; !ok || len(got) > 0 {
		return fmt.Sprintf("orders:grpc has endpoints %v, %v", got, ok)
	}
	named := map[string]bool{}
	for _, r := range routesOf(resources).GetVirtualHosts()[0].GetRoutes() {
		named[r.GetRoute().GetCluster()] = true
	}
	for _, cell := range s.Units.Cells {
		name := "orders:grpc/" + cell.Name
		got, ok := assignments[name]
		if !ok || !clusters[name] || !named[name] && s.Units.Refused == "" {
			return fmt.Sprintf("candidate %s: endpoints %v, cluster %v, named by a route %v", cell.Name, ok, clusters[name],
				named[name])
		}
		if want := wantAddresses(cell); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Sprintf("candidate %s: endpoints %v, want %v", cell.Name, got, want)
		}
	}
	return ""
}
