package catalog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
)

// reported is a feed that exports a service, of a cluster that has a place.
type reported struct {
	cluster string
	feed    feed.ID
}

// units says how a service is bound, in text, worked out from the records; nothing: it is plain.
func (f *reference) units(service string, from []reported) []string {
	bound := map[string]v1alpha1.Unitization{}
	for name, value := range f.last {
		var u v1alpha1.Unitization
		_ = json.Unmarshal(value, &u)
		for _, b := range u.Spec.Services {
			if b.Name == service {
				bound[name] = u
			}
		}
	}
	if len(bound) == 0 {
		return nil
	}
	name := slices.Sorted(maps.Keys(bound))[0]
	u := bound[name]
	_, declared := f.records[recordID{feed.IntentID, kindUnitization, name}]
	value, owned := f.records[recordID{feed.IntentID, model.KindOwnership, name}]
	lines := []string{fmt.Sprintf("units %s of %d, reads %q", name, u.Spec.Shards, u.Spec.Services[0].Reads)}
	o, _ := model.DecodeOwnership(name, value)
	refused := ""
	switch names := slices.Sorted(maps.Keys(bound)); {
	case len(bound) > 1:
		refused = fmt.Sprintf("service %q is bound by unitizations %q and %q", service, names[0], names[1])
	case !declared:
		refused = fmt.Sprintf("unitization %q is gone, and its ownership map is not", name)
	case !owned:
		refused = fmt.Sprintf("unitization %q has no ownership map", name)
	case o.GetShards() != uint32(u.Spec.Shards):
		refused = fmt.Sprintf("unitization %q: spec.shards: %d, but its ownership map has %d", name, u.Spec.Shards, o.Shards)
	}
	if refused != "" {
		lines = append(lines, refused)
	} else {
		for _, r := range o.Ranges {
			lines = append(lines, fmt.Sprintf("range %d-%d %s %q %v %d", r.From, r.To, r.Unit, r.Cells, r.State == 2, r.Since))
		}
		lines = append(lines, fmt.Sprintf("epoch %d, wanted %q", o.Epoch, o.Wanted))
	}
	for _, unit := range u.Spec.Units {
		for _, cell := range unit.Cells {
			lines = append(lines, f.cell(service, unit, cell, from)...)
		}
	}
	return lines
}

func (f *reference) cell(service string, unit v1alpha1.Unit, cell v1alpha1.Cell, from []reported) []string {
	var center v1alpha1.Center
	_ = json.Unmarshal(f.records[recordID{feed.IntentID, kindCenter, cell.Center}], &center)
	lines := []string{fmt.Sprintf("cell %s.%s in %s", unit.Name, cell.Center, center.Spec.Region)}
	slices.SortFunc(from, func(a, b reported) int {
		return cmp.Or(cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.feed, b.feed))
	})
	for i, r := range from {
		var cluster v1alpha1.Cluster
		_ = json.Unmarshal(f.records[recordID{feed.IntentID, kindCluster, r.cluster}], &cluster)
		in, _, _ := f.place(r.cluster)
		if in != cell.Center || cell.Clusters != nil && cluster.Labels["tier"] != cell.Clusters.MatchLabels["tier"] {
			continue
		}
		if i == 0 || from[i-1].cluster != r.cluster {
			lines = append(lines, "cell's cluster "+r.cluster)
		}
		for _, slice := range []string{"1", "2"} {
			key := model.SliceKey(service, slice)
			m, err := model.DecodeEndpointSlice(key, f.records[recordID{r.feed, model.KindEndpointSlice, key}])
			if err != nil || m.Unit != "" && m.Unit != unit.Name || f.withdrawn(r.cluster) {
				continue
			}
			for _, e := range m.Endpoints {
				lines = append(lines, fmt.Sprintf("cell's endpoint %s %s", e.Address, e.State))
			}
		}
	}
	return lines
}

// describeUnits says how a service is bound, in the reference's words.
func describeUnits(u *Units) []string {
	lines := []string{fmt.Sprintf("units %s of %d, reads %q", u.Unitization, u.Shards, u.Reads)}
	if u.Refused != "" {
		lines = append(lines, u.Refused)
	} else {
		for _, r := range u.Ranges {
			lines = append(lines, fmt.Sprintf("range %d-%d %s %q %v %d", r.From, r.To, r.Unit, r.Cells, r.Frozen, r.Since))
		}
		lines = append(lines, fmt.Sprintf("epoch %d, wanted %q", u.Epoch, u.Wanted))
	}
	for _, cell := range u.Cells {
		lines = append(lines, fmt.Sprintf("cell %s in %s", cell.Name, cell.Region))
		for _, cl := range cell.Clusters {
			lines = append(lines, "cell's cluster "+cl.Cluster)
			for e := range cl.Endpoints("grpc") {
				lines = append(lines, fmt.Sprintf("cell's endpoint %s %s", e.Address, e.State))
			}
		}
	}
	return lines
}
