package render

import (
	"cmp"
	"slices"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/model/modelpb"
)

// reach says what of a cell can be reached at a port; the lower is used first, wherever it is.
type reach int

const (
	// reachReady: ready endpoints in a live cluster.
	reachReady reach = iota
	// reachSilent: ready endpoints, in silent clusters only.
	reachSilent
	// reachUnhealthy: endpoints, all of them unhealthy.
	reachUnhealthy
	// reachNone: no endpoint that takes anything new.
	reachNone
)

// cellRendering is what is served of a cell, and the form of it from which that was made.
type cellRendering struct {
	cell *catalog.Cell
	// assignments and reaches are by port.
	assignments []Resource
	reaches     []reach
}

// cellName is the name of a port's cluster and endpoints in a cell.
func cellName(service string, p *modelpb.Port, cell string) string {
	return portName(service, p) + "/" + cell
}

// renderCell renders a cell's endpoints. They lie in one center, so they are the same for everyone, and no failover
// leads out of it: where a shard's calls may go is the ownership map's decision.
func renderCell(s *catalog.Service, cell *catalog.Cell, v View, b *builder) cellRendering {
	out := cellRendering{cell: cell}
	of := &catalog.Service{Name: s.Name, Clusters: cell.Clusters}
	for _, p := range s.Ports {
		groups := groups(of, p.GetName(), v)
		r, err := assignment(cellName(s.Name, p, cell.Name), groups, v)
		if err != nil {
			b.err = err
		}
		out.assignments = append(out.assignments, r)
		out.reaches = append(out.reaches, reachOf(groups, v))
	}
	return out
}

func reachOf(groups []*group, v View) reach {
	arranged, state := priorities(groups, v.broken)
	switch {
	case len(arranged) == 0:
		return reachNone
	case state != modelpb.EndpointState_ENDPOINT_STATE_READY:
		return reachUnhealthy
	case arranged[0][0].silent:
		return reachSilent
	}
	return reachReady
}

// cellAssignments renders the endpoints of all cells, taking over those of cells that are what they were, and the empty
// assignment of the name that refuses.
func cellAssignments(before rendering, s *catalog.Service, v View) ([]cellRendering, []Resource, error) {
	var was []cellRendering
	if before.service != nil && portsAlike(before.service, s) {
		was = before.cells
	}
	if slices.EqualFunc(was, s.Units.Cells, func(c cellRendering, cell *catalog.Cell) bool { return c.cell == cell }) &&
		len(was) > 0 {
		return before.cells, before.assignments, nil
	}
	b := builder{}
	for _, p := range s.Ports {
		name := portName(s.Name, p)
		b.add(encode(TypeEndpoint, name, &endpointv3.ClusterLoadAssignment{ClusterName: name}))
	}
	var cells []cellRendering
	for _, cell := range s.Units.Cells {
		at := slices.IndexFunc(was, func(c cellRendering) bool { return c.cell == cell })
		if at >= 0 {
			cells = append(cells, was[at])
		} else {
			cells = append(cells, renderCell(s, cell, v, &b))
		}
		b.resources = append(b.resources, cells[len(cells)-1].assignments...)
	}
	resources, err := b.done(s)
	return cells, resources, err
}

// cellClusters renders the clusters of all candidate cells, named in routes or not: a switchover must name nothing new
// (rule 1).
func cellClusters(s *catalog.Service, p *modelpb.Port, v View, b *builder) {
	for _, cell := range s.Units.Cells {
		if v.broken.has(breakUnnamed) && !slices.ContainsFunc(s.Units.Ranges, func(r catalog.Range) bool {
			return slices.Contains(r.Cells, cell.Name)
		}) {
			continue
		}
		b.add(edsCluster(cellName(s.Name, p, cell.Name), connectTimeoutOf(s)))
	}
}

// distance is how far a cell is: own center, own region, the rest.
func (v View) distance(c *catalog.Cell) int {
	switch {
	case c.Center == v.Center:
		return 0
	case c.Region == v.Region:
		return 1
	}
	return 2
}

// nearest is the cell that calls go to: one that can be reached before one that hardly can, then the nearer, then the
// first by name. Nil: there is none. One without any endpoint is better than none: callers hear UNAVAILABLE, and its
// first endpoint changes no route.
func (v View) nearest(cells []cellRendering, port int) *cellRendering {
	if len(cells) == 0 {
		return nil
	}
	first := slices.MinFunc(cells, func(a, b cellRendering) int {
		byReach := cmp.Compare(a.reaches[port], b.reaches[port])
		if v.broken.has(breakReach) {
			byReach = 0
		}
		byDistance := cmp.Compare(v.distance(a.cell), v.distance(b.cell))
		if v.broken.has(breakNearest) {
			byDistance = 0
		}
		return cmp.Or(byReach, byDistance, cmp.Compare(a.cell.Name, b.cell.Name))
	})
	return &first
}

// reachesAlike says that the same can be reached of the same cells.
func reachesAlike(a, b []cellRendering) bool {
	return slices.EqualFunc(a, b, func(c, d cellRendering) bool { return slices.Equal(c.reaches, d.reaches) })
}
