package catalog

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// Catalog merges the feeds of many clusters and the intent into services. It does no I/O and reads no clock: what it
// holds is a function of the records it was given and of who is silent. It is not safe for concurrent use; the Services
// it hands out are.
type Catalog struct {
	services map[string]*entry
	sources  map[feed.ID]*source
	clusters map[string]*cluster
	intent   intent
	rejected map[recordID]Rejection

	// broken breaks rules on purpose. Only tests set it.
	broken breakage
}

// entry is a service: its merged form, nil while no cluster with a place exports it, and who contributes to it.
type entry struct {
	merged *Service
	// from is in the order of the clusters' names, and of the feeds' in a cluster.
	from []*contribution
}

// source is one feed of one cluster.
type source struct {
	id       feed.ID
	cluster  *cluster
	services map[string]*contribution
}

// contribution is what one feed says of one service. Slices count only together with the Service record.
type contribution struct {
	source  *source
	service decoded[*modelpb.Service]
	// slices are in the order of their names.
	slices []namedSlice
}

type namedSlice struct {
	name string
	decoded[*Slice]
}

// decoded is a record's message with the bytes it came from. The bytes are the feed's own, so they cost nothing.
type decoded[M any] struct {
	value   []byte
	message M
}

// cluster is what is known of a cluster, from its feeds, the intent or SetSilent.
type cluster struct {
	name    string
	silent  bool
	sources map[feed.ID]*source
}

// changes are the services that a batch touches; true: more than their endpoints.
type changes map[string]bool

func (c changes) add(service string) { c[service] = true }

func (c changes) addEndpoints(service string) { c[service] = c[service] }

// New returns an empty catalog.
func New() *Catalog {
	return &Catalog{
		services: map[string]*entry{},
		sources:  map[feed.ID]*source{},
		clusters: map[string]*cluster{},
		intent:   newIntent(),
		rejected: map[recordID]Rejection{},
	}
}

// Apply takes a batch of a cluster's feed or of the intent feed and returns the names of the services whose merged
// form changed, sorted. It takes the batch whole: no Service ever shows half of one. Its cost follows the records of
// the batch and the services they touch, not the size of the catalog.
//
// Batches must come as a feed.Log or feed.Cursor gives them: each after the one before, or a reset. A reset removes
// what it doesn't name, from that feed only; in any other batch absence removes nothing. Feeds that are neither intent
// nor a source of a cluster ("<cluster>/<source>") are ignored, and so are kinds that the catalog doesn't read.
func (c *Catalog) Apply(id feed.ID, b feed.Batch) []string {
	touched := changes{}
	if id == feed.IntentID {
		c.applyIntent(b, touched)
	} else if name, kind, ok := model.SplitFeedID(id); ok && kind != model.ReportsSource {
		c.applySource(c.sourceOf(id, name), b, touched)
	}
	return c.remerge(touched)
}

// SetSilent says whether a cluster is silent; clusters are live until it is called. It returns the names of the
// services whose merged form changed, sorted.
func (c *Catalog) SetSilent(name string, silent bool) []string {
	cl := c.clusterOf(name)
	if cl.silent == silent {
		return nil
	}
	cl.silent = silent
	touched := changes{}
	cl.touch(touched)
	return c.remerge(touched)
}

// Forget drops everything that a feed gave, as a reset without records would, for a feed that exists no longer. It
// returns the names of the services whose merged form changed, sorted.
func (c *Catalog) Forget(id feed.ID) []string {
	changed := c.Apply(id, feed.Batch{Reset: true})
	for r := range c.rejected {
		if r.feed == id {
			delete(c.rejected, r)
		}
	}
	if src, ok := c.sources[id]; ok {
		delete(src.cluster.sources, id)
		delete(c.sources, id)
	}
	return changed
}

// Service returns a service's merged form. False: no cluster that has a place exports it.
func (c *Catalog) Service(name string) (*Service, bool) {
	e, ok := c.services[name]
	if !ok || e.merged == nil {
		return nil, false
	}
	return e.merged, true
}

// Names are the names of all services, sorted.
func (c *Catalog) Names() []string {
	names := make([]string, 0, len(c.services))
	for name, e := range c.services {
		if e.merged != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// applySource takes a batch of a cluster's feed.
func (c *Catalog) applySource(src *source, b feed.Batch, touched changes) {
	named := map[recordID]struct{}{}
	for _, r := range b.Records {
		if r.Value != nil {
			named[recordID{src.id, r.Kind, r.Key}] = struct{}{}
		}
		c.applyRecord(src, r, touched)
	}
	if !b.Reset && !c.broken.has(breakAbsence) {
		return
	}
	if c.broken.has(breakReset) {
		for _, other := range src.cluster.sources {
			c.removeUnnamed(other, named, touched)
		}
	}
	c.removeUnnamed(src, named, touched)
}

// removeUnnamed ends a reset: what it doesn't name is gone.
func (c *Catalog) removeUnnamed(src *source, named map[recordID]struct{}, touched changes) {
	for r := range c.rejected {
		if _, ok := named[r]; !ok && r.feed == src.id {
			delete(c.rejected, r)
		}
	}
	for service, con := range src.services {
		if _, ok := named[recordID{src.id, model.KindService, service}]; !ok {
			c.remove(src, model.KindService, service, touched)
		}
		for _, slice := range slices.Clone(con.slices) {
			key := model.SliceKey(service, slice.name)
			if _, ok := named[recordID{src.id, model.KindEndpointSlice, key}]; !ok {
				c.remove(src, model.KindEndpointSlice, key, touched)
			}
		}
	}
}

func (c *Catalog) remove(src *source, kind, key string, touched changes) {
	// Nothing is decoded, so nothing can fail.
	_ = c.put(src, kind, key, nil, touched)
}

func (c *Catalog) applyRecord(src *source, r *feed.Record, touched changes) {
	if r.Kind != model.KindService && r.Kind != model.KindEndpointSlice {
		return
	}
	err := c.put(src, r.Kind, r.Key, r.Value, touched)
	if err != nil && c.broken.has(breakReject) {
		c.remove(src, r.Kind, r.Key, touched)
	}
	c.judge(src.id, r, err)
}

// put gives a key its value; nil removes it. With an error nothing has changed.
func (c *Catalog) put(src *source, kind, key string, value []byte, touched changes) error {
	service, slice := key, ""
	if kind == model.KindEndpointSlice {
		var ok bool
		if service, slice, ok = model.SplitSliceKey(key); !ok && value == nil {
			return nil
		}
	}
	con := src.services[service]
	known := con != nil
	if !known {
		con = &contribution{source: src}
	}
	changed, err := con.put(kind, key, slice, value)
	if err != nil || !changed {
		return err
	}
	if kind == model.KindEndpointSlice {
		touched.addEndpoints(service)
	} else {
		touched.add(service)
	}
	if !known || con.empty() {
		c.keep(src, service, con)
	}
	return nil
}

func (con *contribution) put(kind, key, slice string, value []byte) (changed bool, err error) {
	if kind == model.KindService {
		return con.service.put(key, value, model.DecodeService)
	}
	at, held := slices.BinarySearchFunc(con.slices, slice, func(s namedSlice, name string) int {
		return cmp.Compare(s.name, name)
	})
	var d decoded[*Slice]
	if held {
		d = con.slices[at].decoded
	}
	if changed, err = d.put(key, value, decodeSlice); err != nil || !changed {
		return false, err
	}
	switch {
	case value == nil:
		con.slices = slices.Delete(con.slices, at, at+1)
	case held:
		con.slices[at].decoded = d
	default:
		con.slices = slices.Insert(con.slices, at, namedSlice{slice, d})
	}
	return true, nil
}

func (d *decoded[M]) put(key string, value []byte, decode func(string, []byte) (M, error)) (changed bool, err error) {
	switch {
	case value == nil:
		changed = d.value != nil
		*d = decoded[M]{}
		return changed, nil
	case d.value != nil && bytes.Equal(d.value, value):
		return false, nil
	}
	m, err := decode(key, value)
	if err != nil {
		return false, err
	}
	*d = decoded[M]{value: value, message: m}
	return true, nil
}

func (con *contribution) empty() bool { return con.service.value == nil && len(con.slices) == 0 }

// keep holds the two indexes, source to service and service to source, equal.
func (c *Catalog) keep(src *source, service string, con *contribution) {
	e := c.services[service]
	if con.empty() {
		delete(src.services, service)
		if e != nil {
			e.from = slices.DeleteFunc(e.from, func(o *contribution) bool { return o == con })
		}
		return
	}
	src.services[service] = con
	if e == nil {
		e = &entry{}
		c.services[service] = e
	}
	at, _ := slices.BinarySearchFunc(e.from, src, func(o *contribution, s *source) int {
		return cmp.Or(cmp.Compare(o.source.cluster.name, s.cluster.name), cmp.Compare(o.source.id, s.id))
	})
	e.from = slices.Insert(e.from, at, con)
}

// remerge makes the touched services anew and returns those that came out different.
func (c *Catalog) remerge(touched changes) []string {
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(touched)) {
		e, ok := c.services[name]
		if !ok {
			continue
		}
		merged := c.merge(name, e, touched[name])
		if !merged.equal(e.merged) {
			if c.broken.has(breakShared) && e.merged != nil && merged != nil {
				*e.merged = *merged
				merged = e.merged
			}
			e.merged = merged
			changed = append(changed, name)
		}
		if len(e.from) == 0 {
			delete(c.services, name)
		}
	}
	return changed
}

func (c *Catalog) sourceOf(id feed.ID, clusterName string) *source {
	src, ok := c.sources[id]
	if !ok {
		src = &source{id: id, cluster: c.clusterOf(clusterName), services: map[string]*contribution{}}
		c.sources[id] = src
		src.cluster.sources[id] = src
	}
	return src
}

func (c *Catalog) clusterOf(name string) *cluster {
	cl, ok := c.clusters[name]
	if !ok {
		cl = &cluster{name: name, sources: map[feed.ID]*source{}}
		c.clusters[name] = cl
	}
	return cl
}

// touch marks all services of a cluster.
func (cl *cluster) touch(touched changes) {
	for _, src := range cl.sources {
		for service := range src.services {
			touched.add(service)
		}
	}
}
