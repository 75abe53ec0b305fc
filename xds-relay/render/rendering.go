package render

import (
	"errors"
	"slices"

	"pentad.dev/pentad/federation/catalog"
)

// rendering is what is served of a service, and the form of it from which that was made.
type rendering struct {
	service *catalog.Service
	// What is named comes before what names it.
	assignments, clusters, routes, listeners []Resource
	// cells are those of a service with units, in the order of its Units.Cells.
	cells []cellRendering
	// refused is why everything is refused; empty: it is not.
	refused string
}

func (r rendering) parts() [][]Resource {
	return [][]Resource{r.assignments, r.clusters, r.routes, r.listeners}
}

// all are the resources, those that are named before those that name them.
func (r rendering) all() []Resource { return slices.Concat(r.parts()...) }

// render renders a service, and takes over from before what would come out the same: endpoints change all the time,
// ports, policies and ownership hardly ever.
func render(before rendering, s *catalog.Service, v View) (rendering, error) {
	if err := v.Validate(); err != nil {
		return rendering{}, err
	}
	now := rendering{service: s}
	same := likenessOf(before, s, v)
	var errs [4]error
	if v.hasUnits(s) {
		now.cells, now.assignments, errs[0] = cellAssignments(before, s, v)
	} else {
		now.assignments, errs[0] = assignments(s, v)
	}
	if now.clusters = before.clusters; !same.clusters {
		now.clusters, errs[1] = clusters(s, v)
	}
	if now.routes, now.refused = before.routes, before.refused; !same.routes ||
		!reachesAlike(before.cells, now.cells) && !v.broken.has(breakStale) {
		now.routes, now.refused, errs[2] = routes(s, now.cells, v)
	}
	if now.listeners = before.listeners; !same.listeners {
		now.listeners, errs[3] = listeners(s)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return rendering{}, err
	}
	return now, nil
}

// likeness says what of a rendering would come out the same. Routes also hang on what can be reached.
type likeness struct{ clusters, routes, listeners bool }

func likenessOf(before rendering, s *catalog.Service, v View) likeness {
	if before.service == nil {
		return likeness{}
	}
	ports := portsAlike(before.service, s)
	shape := ports && before.service.Policy == s.Policy && v.hasUnits(before.service) == v.hasUnits(s)
	return likeness{
		listeners: ports,
		clusters: shape && slices.EqualFunc(unitCells(before.service), unitCells(s), func(a, b *catalog.Cell) bool {
			return a.Name == b.Name
		}),
		routes: shape && before.service.Units.Alike(s.Units),
	}
}

func unitCells(s *catalog.Service) []*catalog.Cell {
	if s.Units == nil {
		return nil
	}
	return s.Units.Cells
}

// hasUnits says whether a service is routed by shard. One of which nobody knows who owns what is, too: all of it is
// refused.
func (v View) hasUnits(s *catalog.Service) bool {
	return s.Units != nil && !(s.Units.Refused != "" && v.broken.has(breakRefused))
}
