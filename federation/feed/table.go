package feed

import "time"

// node is a record in its log: one allocation, 96 bytes. The embedded record is immutable once the node is linked; the
// links belong to the log's lock.
type node struct {
	Record
	prev, next *node
}

// table holds each key once, ordered by last change: an intrusive ring through root (root.next is the oldest) plus a
// map a kind. Records are in the order of their At, so a reader's batch is what lies behind its position at the tail.
type table struct {
	root  node
	kinds map[string]*kind
	live  int
	seal  Seal
	dead  tombstones
}

// kind shares its name between its records and keeps the map's keys at one string.
type kind struct {
	name string
	keys map[string]*node
}

func newTable() *table {
	t := &table{kinds: map[string]*kind{}}
	t.root.prev, t.root.next = &t.root, &t.root
	return t
}

func (t *table) get(kindName, key string) *node {
	if k := t.kinds[kindName]; k != nil {
		return k.keys[key]
	}
	return nil
}

// put makes n the latest of its key and moves the key to the tail. n.At must not be below the tail's.
func (t *table) put(n *node, now time.Duration) {
	k := t.kinds[n.Kind]
	if k == nil {
		k = &kind{name: n.Kind, keys: map[string]*node{}}
		t.kinds[n.Kind] = k
	}
	n.Kind = k.name
	if old := k.keys[n.Key]; old != nil {
		t.unlink(old)
		n.Key = old.Key // the map keeps its first key string; sharing it lets go of the newer copy
	}
	k.keys[n.Key] = n
	n.prev, n.next = t.root.prev, &t.root
	n.prev.next, n.next.prev = n, n
	if n.Value == nil {
		t.dead.push(n, now)
	} else {
		t.live++
		t.seal += n.mix()
	}
}

// unlink takes n out of the list and the sums; the map is the caller's.
func (t *table) unlink(n *node) {
	n.prev.next, n.next.prev = n.next, n.prev
	n.prev, n.next = nil, nil // a reader may keep the record for long: it must not keep its neighbours
	if n.Value == nil {
		t.dead.count--
	} else {
		t.live--
		t.seal -= n.mix()
	}
}

// retain drops what keep does not want.
func (t *table) retain(keep func(*Record) bool) {
	for n := t.root.next; n != &t.root; {
		next := n.next
		if !keep(&n.Record) {
			delete(t.kinds[n.Kind].keys, n.Key)
			t.unlink(n)
		}
		n = next
	}
}

// merge puts nodes, in the order of their At, between what is there. Their keys are not there.
func (t *table) merge(nodes []*node, now time.Duration) {
	at := t.root.next
	for _, n := range nodes {
		t.put(n, now)
		for at != n && !n.At.Before(at.At) {
			at = at.next
		}
		if at == n {
			continue // it belongs at the tail
		}
		n.prev.next, n.next.prev = n.next, n.prev
		n.prev, n.next = at.prev, at
		n.prev.next, n.next.prev = n, n
	}
}

// forget drops the tombstones that the policy does not keep and returns the At of the newest dropped (rule 12).
func (t *table) forget(p TombstonePolicy, now time.Duration) (floor Position) {
	for t.dead.count > 0 {
		oldest := t.dead.oldest()
		if t.dead.count <= max(p.MaxCount, 0) && (p.MaxAge < 0 || now-oldest.since < p.MaxAge) {
			break
		}
		n := oldest.node
		delete(t.kinds[n.Kind].keys, n.Key)
		t.unlink(n)
		floor = n.At
	}
	return floor
}

// tombstones is a queue of tombstones, oldest first. One whose key lives again stays queued, unlinked, until it is met
// or the queue is compacted.
type tombstones struct {
	queue []tombstone
	count int // of those still linked
}

type tombstone struct {
	node  *node
	since time.Duration
}

func (d *tombstones) push(n *node, now time.Duration) {
	if len(d.queue) > 2*d.count+16 {
		kept := d.queue[:0]
		for _, t := range d.queue {
			if t.node.next != nil {
				kept = append(kept, t)
			}
		}
		clear(d.queue[len(kept):])
		d.queue = kept
	}
	d.queue = append(d.queue, tombstone{node: n, since: now})
	d.count++
}

// oldest needs a count above zero.
func (d *tombstones) oldest() tombstone {
	for d.queue[0].node.next == nil {
		d.queue[0] = tombstone{}
		d.queue = d.queue[1:]
	}
	return d.queue[0]
}
