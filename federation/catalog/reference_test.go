package catalog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// reference is the catalog's definition, as plainly as it can be said: flat records, everything worked out anew.
type reference struct {
	records map[recordID][]byte
	silent  map[string]bool
	kept    map[string]bool
	// last is what each Unitization was declared as last, while its ownership map is there.
	last map[string][]byte
}

func newReference() *reference {
	return &reference{records: map[recordID][]byte{}, silent: map[string]bool{}, kept: map[string]bool{}, last: map[string][]byte{}}
}

func (f *reference) apply(id feed.ID, b feed.Batch) {
	named := map[recordID]bool{}
	for _, r := range b.Records {
		key := recordID{id, r.Kind, r.Key}
		named[key] = r.Value != nil
		if r.Value == nil {
			delete(f.records, key)
		} else if readable(r.Kind, r.Key, r.Value) {
			f.records[key] = r.Value
			if r.Kind == kindUnitization {
				f.last[r.Key] = r.Value
			}
		}
	}
	for key := range f.records {
		if b.Reset && key.feed == id && !named[key] {
			delete(f.records, key)
		}
	}
	for name := range f.last {
		_, declared := f.records[recordID{feed.IntentID, kindUnitization, name}]
		_, owned := f.records[recordID{feed.IntentID, model.KindOwnership, name}]
		if !declared && !owned {
			delete(f.last, name)
		}
	}
}

func readable(kind, key string, value []byte) bool {
	switch kind {
	case kindCenter, kindCluster, kindServicePolicy, kindUnitization:
		return json.Valid(value)
	case model.KindOwnership:
		_, err := model.DecodeOwnership(key, value)
		return err == nil
	}
	if kind == model.KindLiveness {
		_, err := model.DecodeLiveness(key, value)
		return err == nil
	}
	return model.Check(kind, key, value) == nil
}

// withdrawn: the quorum says so, the holder hears nothing of it either, and it is not its own.
func (f *reference) withdrawn(cluster string) bool {
	_, expired := f.records[recordID{feed.IntentID, model.KindLiveness, cluster}]
	return expired && f.silent[cluster] && !f.kept[cluster]
}

// services says what each service is, as text.
func (f *reference) services() map[string]string {
	type contribution struct {
		cluster string
		feed    feed.ID
		service *modelpb.Service
	}
	exports := map[string][]contribution{}
	for key, value := range f.records {
		if key.kind == model.KindService {
			cluster, _, _ := model.SplitFeedID(key.feed)
			if _, _, ok := f.place(cluster); ok {
				s, _ := model.DecodeService(key.key, value)
				exports[key.key] = append(exports[key.key], contribution{cluster, key.feed, s})
			}
		}
	}
	out := map[string]string{}
	for name, from := range exports {
		slices.SortFunc(from, func(a, b contribution) int {
			return cmp.Or(cmp.Compare(a.service.CreatedUnixMs, b.service.CreatedUnixMs), cmp.Compare(a.cluster, b.cluster),
				cmp.Compare(a.feed, b.feed))
		})
		var ports []*modelpb.Port
		var decider []string
		disputed := map[int]bool{}
		for _, c := range from {
			for _, p := range c.service.Ports {
				clash := false
				for i, held := range ports {
					if held.Name == p.Name || held.Number == p.Number {
						clash = true
						if !equalPort(held, p) {
							disputed[i] = true
						}
					}
				}
				if !clash {
					ports, decider = append(ports, p), append(decider, c.cluster)
				}
			}
		}
		var lines []string
		for _, p := range ports {
			lines = append(lines, "port "+portText(p))
		}
		var conflicts []string
		for i := range disputed {
			for _, c := range from {
				for _, p := range c.service.Ports {
					if p.Name == ports[i].Name || p.Number == ports[i].Number {
						conflicts = append(conflicts, conflictText(Conflict{c.cluster, p, ports[i], decider[i]}))
					}
				}
			}
		}
		slices.Sort(conflicts)
		lines = append(lines, slices.Compact(conflicts)...)
		slices.SortFunc(from, func(a, b contribution) int { return cmp.Compare(a.feed, b.feed) })
		for i, c := range from {
			center, region, _ := f.place(c.cluster)
			if i == 0 || from[i-1].cluster != c.cluster {
				lines = append(lines, fmt.Sprintf("cluster %s %s %s %v %v", c.cluster, center, region, f.silent[c.cluster],
					f.withdrawn(c.cluster)))
			}
			for _, slice := range []string{"1", "2"} {
				key := model.SliceKey(name, slice)
				value, ok := f.records[recordID{c.feed, model.KindEndpointSlice, key}]
				if !ok || f.withdrawn(c.cluster) {
					continue
				}
				m, _ := model.DecodeEndpointSlice(key, value)
				for _, e := range m.Endpoints {
					lines = append(lines, fmt.Sprintf("endpoint %s %s:%d %s %d %s", c.cluster, e.Address, e.Ports[0], e.State,
						max(1, e.Weight), m.Unit))
				}
			}
		}
		lines = append(lines, f.policy(name)...)
		out[name] = strings.Join(append(lines, f.units(name, func() (from []reported) {
			for _, c := range exports[name] {
				from = append(from, reported{c.cluster, c.feed})
			}
			return from
		}())...), "\n")
	}
	return out
}

func (f *reference) place(cluster string) (center, region string, ok bool) {
	value, ok := f.records[recordID{feed.IntentID, kindCluster, cluster}]
	if !ok {
		return "", "", false
	}
	var c v1alpha1.Cluster
	_ = json.Unmarshal(value, &c)
	value, ok = f.records[recordID{feed.IntentID, kindCenter, c.Spec.Center}]
	if !ok {
		return "", "", false
	}
	var ce v1alpha1.Center
	_ = json.Unmarshal(value, &ce)
	return c.Spec.Center, ce.Spec.Region, true
}

func (f *reference) policy(service string) []string {
	var names []string
	for key, value := range f.records {
		var p v1alpha1.ServicePolicy
		if key.kind == kindServicePolicy && json.Unmarshal(value, &p) == nil && p.Spec.Service == service {
			names = append(names, key.key+" "+fmt.Sprint(p.Spec.Failover))
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	_, failover, _ := strings.Cut(names[0], " ")
	return []string{"policy " + failover}
}

func conflictText(c Conflict) string {
	return fmt.Sprintf("conflict %s %s %s %s", c.Cluster, portText(c.Declared), portText(c.Used), c.Decider)
}

// describe says what a service is, in the reference's words.
func describe(s *Service) string {
	var lines, conflicts []string
	for _, p := range s.Ports {
		lines = append(lines, "port "+portText(p))
	}
	for _, c := range s.Conflicts {
		conflicts = append(conflicts, conflictText(c))
	}
	slices.Sort(conflicts)
	lines = append(lines, conflicts...)
	for i := range s.Clusters {
		c := &s.Clusters[i]
		lines = append(lines, fmt.Sprintf("cluster %s %s %s %v %v", c.Cluster, c.Center, c.Region, c.Silent, c.Expired))
		for _, slice := range c.Slices {
			for e := range (&ClusterEndpoints{Slices: []*Slice{slice}}).Endpoints("grpc") {
				lines = append(lines, fmt.Sprintf("endpoint %s %s:%d %s %d %s", c.Cluster, e.Address, e.Port, e.State, e.Weight,
					slice.Unit()))
			}
		}
	}
	if s.Policy != nil {
		lines = append(lines, "policy "+fmt.Sprint(s.Policy.Failover))
	}
	if s.Units != nil {
		lines = append(lines, describeUnits(s.Units)...)
	}
	return strings.Join(lines, "\n")
}
