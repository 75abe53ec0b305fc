package intent

import iradix "github.com/hashicorp/go-immutable-radix/v2"

// tree is a map in the order of its keys that never changes: what changes it makes another one, which shares all but the
// path to the change. The zero tree is empty.
type tree[V any] struct{ radix *iradix.Tree[V] }

// Len is the number of keys.
func (t tree[V]) Len() int {
	if t.radix == nil {
		return 0
	}
	return t.radix.Len()
}

func (t tree[V]) get(key string) (value V, ok bool) {
	if t.radix == nil {
		return value, false
	}
	return t.radix.Get([]byte(key))
}

// with is t with a key set, and what was there before.
func (t tree[V]) with(key string, value V) (next tree[V], prev V, replaced bool) {
	if t.radix == nil {
		t.radix = iradix.New[V]()
	}
	t.radix, prev, replaced = t.radix.Insert([]byte(key), value)
	return t, prev, replaced
}

// without is t without a key, which need not be there.
func (t tree[V]) without(key string) tree[V] {
	if t.radix != nil {
		t.radix, _, _ = t.radix.Delete([]byte(key))
	}
	return t
}

// from calls fn for the keys in their order, from start on, until it says false.
func (t tree[V]) from(start string, fn func(key string, value V) bool) {
	if t.radix == nil {
		return
	}
	it := t.radix.Root().Iterator()
	it.SeekLowerBound([]byte(start))
	for key, value, ok := it.Next(); ok && fn(string(key), value); key, value, ok = it.Next() {
	}
}
