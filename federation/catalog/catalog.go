package catalog

import (
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

// cluster is what is known of a cluster, from its feeds, SetSilent and Keep.
type cluster struct {
	name string
	// silent: this holder hears nothing of it. kept: it is the holder's own.
	silent, kept bool
	sources      map[feed.ID]*source
}

// changes are the services that a batch touches; true: more than their endpoints.
type changes map[string]bool

func (c changes) add(service string) { c[service] = true }

func (c changes) addEndpoints(service string) {
	if _, ok := c[service]; !ok {
		c[service] = false
	}
}

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
