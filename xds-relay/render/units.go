package render

import (
	"fmt"
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/catalog"
)

// Headers that routes of services with units look at.
const (
	// HeaderShard is the shard that a call is for, in canonical decimal. The caller's side stamps it; a gateway overwrites
	// it and never appends (rule 17).
	HeaderShard = "x-pentad-shard"
	// HeaderCell is the cell that a call is sent to again after a guard named it. It is a hint: the next guard decides.
	HeaderCell = "x-pentad-cell"
)

// maxRoutes bounds the routes of a port: data planes try them one after another for each call. A port that needs more
// refuses everything, and Renderer.Refused says so.
const maxRoutes = 512

// span is a range of shards that calls of one kind take the same way in.
type span struct {
	from, to int
	way
}

// way is where calls go.
type way struct {
	// cluster is empty where there is no way: the calls are left to the last route, which refuses.
	cluster string
	// abort refuses the calls here, and leaves the cluster named.
	abort bool
}

// unitRoute renders the routes of a port, number i, of a service with units. In their order:
//
//  1. for each candidate cell: calls that name it;
//  2. reads, by method and range of shards, frozen or not;
//  3. writes by range of shards, aborted where the range is frozen;
//  4. everything else is refused, calls without a shard among it.
//
// The reason is why the port refuses everything; empty: it does not.
func unitRoute(s *catalog.Service, i int, cells []cellRendering, v View) (Resource, string, error) {
	name := portName(s.Name, s.Ports[i])
	needs := []Name{{TypeCluster, name}, {TypeEndpoint, name}}
	t := unitTable{service: s, port: i, cells: cells, view: v}
	routes, reason := t.routes()
	if reason == "" {
		for _, c := range cells {
			cell := cellName(s.Name, s.Ports[i], c.cell.Name)
			needs = append(needs, Name{TypeCluster, cell}, Name{TypeEndpoint, cell})
		}
	} else {
		routes = nil
	}
	last, err := t.refuse(name)
	if err != nil {
		return Resource{}, "", err
	}
	config := routeConfiguration(name, append(routes, last)...)
	if since := s.Units.Since(); since > 0 && reason == "" {
		config.Metadata = sinceMetadata(since)
	}
	r, err := encode(TypeRoute, name, config, needs...)
	return r, reason, err
}

// unitTable makes the routes of one port.
type unitTable struct {
	service *catalog.Service
	port    int
	cells   []cellRendering
	view    View
	abort   *anypb.Any
}

// routes are all but the last one, or why there are none.
func (t *unitTable) routes() ([]*routev3.Route, string) {
	u, broken := t.service.Units, t.view.broken
	if u.Refused != "" {
		return nil, u.Refused
	}
	var err error
	if t.abort, err = refusal(); err != nil {
		return nil, err.Error()
	}
	var out []*routev3.Route
	for _, c := range t.cells {
		if active := t.activeSomewhere(c.cell.Name); active || !broken.has(breakUnnamed) {
			out = append(out, t.route(anyPath(), exactly(HeaderCell, c.cell.Name), way{cluster: t.clusterOf(c.cell)}))
		}
	}
	reads, writes := t.spans(t.read), t.spans(t.write)
	paths := readPaths(u.Reads)
	if n := len(out) + len(paths)*len(reads) + len(writes) + 1; n > maxRoutes && !broken.has(breakCap) {
		return nil, fmt.Sprintf("%d routes, at most %d: %d ranges of shards for writes, and %d for each of %d read methods",
			n, maxRoutes, len(writes), len(reads), len(paths))
	}
	for _, path := range paths {
		for _, r := range reads {
			out = append(out, t.route(proto.CloneOf(path), t.shards(r), r.way))
		}
	}
	for _, w := range writes {
		out = append(out, t.route(anyPath(), t.shards(w), w.way))
	}
	return out, ""
}

func (t *unitTable) activeSomewhere(cell string) bool {
	return slices.ContainsFunc(t.service.Units.Ranges, func(r catalog.Range) bool {
		return slices.Contains(r.Cells, cell)
	})
}

func (t *unitTable) clusterOf(c *catalog.Cell) string {
	return cellName(t.service.Name, t.service.Ports[t.port], c.Name)
}

// spans is the ownership map as one kind of calls sees it: neighbours with the same way merged, ranges without a way
// left out.
func (t *unitTable) spans(of func(catalog.Range) way) []span {
	var out []span
	for _, r := range t.service.Units.Ranges {
		now := of(r)
		if now.cluster == "" {
			continue
		}
		if n := len(out) - 1; n >= 0 && out[n].to+1 == r.From && (out[n].way == now ||
			t.view.broken.has(breakMerge) && out[n].cluster == now.cluster) {
			out[n].to = r.To
			continue
		}
		out = append(out, span{r.From, r.To, now})
	}
	return out
}

// write is the way of a range's writes. A freeze changes nothing but the abort: what it names has been named before
// (rule 1).
func (t *unitTable) write(r catalog.Range) way {
	to := t.view.nearest(t.active(r), t.port)
	if to == nil || r.Frozen && t.view.broken.has(breakFreeze) {
		return way{}
	}
	return way{cluster: t.clusterOf(to.cell), abort: r.Frozen}
}

// read is the way of a range's reads: a City cell where there are any, and one can be reached as well as the active
// ones.
func (t *unitTable) read(r catalog.Range) way {
	to := t.view.nearest(t.active(r), t.port)
	city := t.view.nearest(t.those(func(c *catalog.Cell) bool { return c.Type == v1alpha1.UnitCity }), t.port)
	if city != nil && !t.view.broken.has(breakCity) && (to == nil || city.reaches[t.port] <= to.reaches[t.port]) {
		to = city
	}
	if to == nil {
		return way{}
	}
	return way{cluster: t.clusterOf(to.cell), abort: r.Frozen && t.view.broken.has(breakReads)}
}

// active are the cells that take a range's writes.
func (t *unitTable) active(r catalog.Range) []cellRendering {
	return t.those(func(c *catalog.Cell) bool {
		return slices.Contains(r.Cells, c.Name) || c.Unit == r.Unit && t.view.broken.has(breakActive)
	})
}

func (t *unitTable) those(which func(*catalog.Cell) bool) []cellRendering {
	var out []cellRendering
	for _, c := range t.cells {
		if which(c.cell) {
			out = append(out, c)
		}
	}
	return out
}

// shards matches calls for a span's shards; nil where there is one shard, which nobody needs to name.
func (t *unitTable) shards(s span) *routev3.HeaderMatcher {
	if t.service.Units.Shards == 1 || t.view.broken.has(breakStamp) {
		return nil
	}
	end := s.to + 1
	if t.view.broken.has(breakRange) {
		end = s.to
	}
	return within(HeaderShard, s.from, end)
}

func (t *unitTable) route(match *routev3.RouteMatch, header *routev3.HeaderMatcher, w way) *routev3.Route {
	action := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: w.cluster}}
	setTimeout(action, t.service.Policy)
	if header != nil {
		match.Headers = []*routev3.HeaderMatcher{header}
	}
	out := &routev3.Route{Match: match, Action: &routev3.Route_Route{Route: action}}
	if w.abort {
		out.TypedPerFilterConfig = map[string]*anypb.Any{filterFault: t.abort}
	}
	return out
}

// refuse is the last route. Its cluster has no endpoints: what does not know the fault filter reaches nobody either.
func (t *unitTable) refuse(name string) (*routev3.Route, error) {
	var err error
	if t.abort, err = refusal(); err != nil {
		return nil, err
	}
	to := way{cluster: name, abort: true}
	if t.view.broken.has(breakLast) && len(t.cells) > 0 {
		to = way{cluster: t.clusterOf(t.cells[0].cell)}
	}
	return t.route(anyPath(), nil, to), nil
}

// sinceKey is where a RouteConfiguration's metadata has the highest since that it carries.
const sinceKey, sinceField = "pentad.dev", "since"

func sinceMetadata(since uint64) *corev3.Metadata {
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{sinceKey: {Fields: map[string]*structpb.Value{
		// A number would be a double, which holds no 64 bits.
		sinceField: structpb.NewStringValue(strconv.FormatUint(since, 10)),
	}}}}
}

// Since is the highest since of an ownership map that a resource's Body carries: the part of its version that has an
// order (rule 7). 0 for what carries none: other types, plain services, what refuses everything.
func Since(typeURL string, body []byte) uint64 {
	if typeURL != TypeRoute {
		return 0
	}
	// A body may have thousands of routes, and this is asked of each one that changes: only the metadata is decoded.
	const valueOfAny, metadataOfRoutes = 2, 17
	metadata := &corev3.Metadata{}
	if proto.Unmarshal(lastField(lastField(body, valueOfAny), metadataOfRoutes), metadata) != nil {
		return 0
	}
	text := metadata.GetFilterMetadata()[sinceKey].GetFields()[sinceField].GetStringValue()
	since, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return since
}

// lastField is the content of a message's last field of a number, one that has a length; nil without one.
func lastField(message []byte, number protowire.Number) (content []byte) {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(field, kind, message); n < 0 {
			return nil
		}
		if field == number && kind == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(message)
		}
		message = message[n:]
	}
	return content
}
