package catalog

import (
	"bytes"
	"cmp"
	"slices"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
)

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
