package catalog

import (
	"cmp"
	"slices"

	"pentad.dev/pentad/federation/model/modelpb"
)

// export is a contribution that counts: it has a Service record, and its cluster a place.
type export struct {
	*contribution
	center, region string
}

// merge makes the service's merged form from its contributions; nil when none counts. Unless more than endpoints
// changed, the rest is taken over: endpoints change all the time, exports and policies hardly ever.
func (c *Catalog) merge(name string, e *entry, more bool) *Service {
	exports := make([]export, 0, len(e.from))
	for _, con := range e.from {
		if con.service.message == nil {
			continue
		}
		if center, region, ok := c.intent.place(con.source.cluster.name); ok || c.broken.has(breakPlace) {
			exports = append(exports, export{con, center, region})
		}
	}
	if len(exports) == 0 {
		return nil
	}
	s := &Service{Name: name, Clusters: c.mergeClusters(exports)}
	var units *Units
	if e.merged != nil {
		units = e.merged.Units
	}
	s.Units = c.unitsOf(name, s.Clusters, units)
	if old := e.merged; old != nil && !more {
		s.Ports, s.Conflicts, s.Policy = old.Ports, old.Conflicts, old.Policy
		return s
	}
	slices.SortFunc(exports, c.older)
	s.Ports, s.Conflicts = mergePorts(exports)
	if c.broken.has(breakOneSided) {
		s.Conflicts = slices.DeleteFunc(s.Conflicts, func(c Conflict) bool { return equalPort(c.Declared, c.Used) })
	}
	s.Policy = c.intent.policy(name)
	return s
}

// older is the order in which exports decide: oldest first. The rest of the key makes it total.
func (c *Catalog) older(a, b export) int {
	age := cmp.Compare(a.service.message.GetCreatedUnixMs(), b.service.message.GetCreatedUnixMs())
	if c.broken.has(breakOldest) {
		age = 0
	}
	return cmp.Or(age, cmp.Compare(a.source.cluster.name, b.source.cluster.name), cmp.Compare(a.source.id, b.source.id))
}

// decision is a merged port and the cluster whose export decided it.
type decision struct {
	port     *modelpb.Port
	decider  string
	conflict bool
}

// mergePorts is KEP-1645's rule: the union of all ports; where two exports cannot both hold, the older does. The
// number must be unique as well as the name, since callers say "orders:9000".
func mergePorts(exports []export) ([]*modelpb.Port, []Conflict) {
	var merged []*decision
	for _, ex := range exports {
		for _, p := range ex.service.message.GetPorts() {
			meets := slices.DeleteFunc(slices.Clone(merged), func(d *decision) bool { return !d.concerns(p) })
			switch {
			case len(meets) == 0:
				merged = append(merged, &decision{port: p, decider: ex.source.cluster.name})
			case len(meets) == 1 && meets[0].agrees(p):
			default:
				for _, d := range meets {
					d.conflict = true
				}
			}
		}
	}
	ports := make([]*modelpb.Port, len(merged))
	for i, d := range merged {
		ports[i] = d.port
	}
	return ports, conflictsOf(exports, merged)
}

// concerns says whether p has the decision's name or number.
func (d *decision) concerns(p *modelpb.Port) bool {
	return d.port.GetName() == p.GetName() || d.port.GetNumber() == p.GetNumber()
}

func (d *decision) agrees(p *modelpb.Port) bool {
	return d.port.GetName() == p.GetName() && d.port.GetNumber() == p.GetNumber() && protocol(d.port) == protocol(p)
}

// protocol is a port's protocol; one that is not said is TCP.
func protocol(p *modelpb.Port) modelpb.Protocol {
	if p.GetProtocol() == modelpb.Protocol_PROTOCOL_UNSPECIFIED {
		return modelpb.Protocol_PROTOCOL_TCP
	}
	return p.GetProtocol()
}

// conflictsOf gives every cluster that declares a port in dispute its Conflict, the one that prevailed too: whoever
// looks at any of the exports must see that it is not alone.
func conflictsOf(exports []export, merged []*decision) []Conflict {
	var out []Conflict
	for _, d := range merged {
		if !d.conflict {
			continue
		}
		for _, ex := range exports {
			for _, p := range ex.service.message.GetPorts() {
				if d.concerns(p) {
					out = append(out, Conflict{Cluster: ex.source.cluster.name, Declared: p, Used: d.port, Decider: d.decider})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Used.GetName(), b.Used.GetName()),
			cmp.Compare(a.Declared.GetName(), b.Declared.GetName()), cmp.Compare(a.Declared.GetNumber(), b.Declared.GetNumber()),
			cmp.Compare(a.Declared.GetProtocol(), b.Declared.GetProtocol()), cmp.Compare(a.Used.GetNumber(), b.Used.GetNumber()),
			cmp.Compare(a.Decider, b.Decider))
	})
	return slices.CompactFunc(out, Conflict.equal)
}

// mergeClusters groups the endpoints by cluster. The exports come sorted by cluster and feed.
func (c *Catalog) mergeClusters(exports []export) []ClusterEndpoints {
	out := make([]ClusterEndpoints, 0, len(exports))
	for _, ex := range exports {
		if last := len(out) - 1; last < 0 || out[last].Cluster != ex.source.cluster.name {
			out = append(out, ClusterEndpoints{
				Cluster: ex.source.cluster.name, Center: ex.center, Region: ex.region, Silent: ex.source.cluster.silent,
				Slices: make([]*Slice, 0, len(ex.slices)),
			})
		}
		cl := &out[len(out)-1]
		if cl.Expired = c.withdrawn(ex.source.cluster); cl.Expired {
			continue
		}
		for _, s := range ex.slices {
			if s.message.Len() > 0 {
				cl.Slices = append(cl.Slices, s.message)
			}
		}
	}
	return out
}
