package intent

import "cmp"

// tree is a map in the order of its keys that never changes: what changes it makes another one, which shares all but the
// path to the change. It is balanced (AVL): a change copies about log2 n nodes of one size. (A radix tree with wide nodes
// took a fifth of all the memory that applying a command allocates.) The zero tree is empty.
type tree[V any] struct {
	root *branch[V]
	n    int
}

// branch is a node, immutable once it is in a tree.
type branch[V any] struct {
	key         string
	value       V
	left, right *branch[V]
	height      int
}

// Len is the number of keys.
func (t tree[V]) Len() int { return t.n }

func (t tree[V]) get(key string) (value V, ok bool) {
	for b := t.root; b != nil; {
		switch c := cmp.Compare(key, b.key); {
		case c < 0:
			b = b.left
		case c > 0:
			b = b.right
		default:
			return b.value, true
		}
	}
	return value, false
}

// with is t with a key set, and what was there before.
func (t tree[V]) with(key string, value V) (next tree[V], prev V, replaced bool) {
	root := t.root.with(key, value, &prev, &replaced)
	next = tree[V]{root: root, n: t.n + 1}
	if replaced {
		next.n--
	}
	return next, prev, replaced
}

// without is t without a key, which need not be there.
func (t tree[V]) without(key string) tree[V] {
	if _, ok := t.get(key); !ok {
		return t
	}
	return tree[V]{root: t.root.without(key), n: t.n - 1}
}

// from calls fn for the keys in their order, from start on, until it says false.
func (t tree[V]) from(start string, fn func(key string, value V) bool) { t.root.from(start, fn) }

func (b *branch[V]) with(key string, value V, prev *V, replaced *bool) *branch[V] {
	if b == nil {
		return &branch[V]{key: key, value: value, height: 1}
	}
	copied := *b
	switch c := cmp.Compare(key, b.key); {
	case c < 0:
		copied.left = b.left.with(key, value, prev, replaced)
	case c > 0:
		copied.right = b.right.with(key, value, prev, replaced)
	default:
		*prev, *replaced = b.value, true
		copied.value = value
		return &copied // nothing moves
	}
	if !*replaced {
		return copied.balance()
	}
	return &copied
}

// without needs the key to be there.
func (b *branch[V]) without(key string) *branch[V] {
	copied := *b
	switch c := cmp.Compare(key, b.key); {
	case c < 0:
		copied.left = b.left.without(key)
	case c > 0:
		copied.right = b.right.without(key)
	case b.left == nil:
		return b.right
	case b.right == nil:
		return b.left
	default: // the next key takes its place
		next := b.right
		for next.left != nil {
			next = next.left
		}
		copied.key, copied.value = next.key, next.value
		copied.right = b.right.without(next.key)
	}
	return copied.balance()
}

func (b *branch[V]) high() int {
	if b == nil {
		return 0
	}
	return b.height
}

// balance returns b, whose branches are balanced and differ by two at most, so that they differ by one at most. B itself
// is in no tree yet.
func (b *branch[V]) balance() *branch[V] {
	switch d := b.left.high() - b.right.high(); {
	case d > 1:
		if left := *b.left; left.left.high() < left.right.high() {
			b.left = left.turnLeft()
		}
		return b.turnRight()
	case d < -1:
		if right := *b.right; right.right.high() < right.left.high() {
			b.right = right.turnRight()
		}
		return b.turnLeft()
	}
	b.height = 1 + max(b.left.high(), b.right.high())
	return b
}

// turnLeft puts a copy of the right branch in the place of b, which is in no tree yet.
func (b *branch[V]) turnLeft() *branch[V] {
	up := *b.right
	b.right = up.left
	b.height = 1 + max(b.left.high(), b.right.high())
	up.left = b
	up.height = 1 + max(up.left.high(), up.right.high())
	return &up
}

// turnRight puts a copy of the left branch in the place of b, which is in no tree yet.
func (b *branch[V]) turnRight() *branch[V] {
	up := *b.left
	b.left = up.right
	b.height = 1 + max(b.left.high(), b.right.high())
	up.right = b
	up.height = 1 + max(up.left.high(), up.right.high())
	return &up
}

func (b *branch[V]) from(start string, fn func(string, V) bool) bool {
	if b == nil {
		return true
	}
	if start < b.key && !b.left.from(start, fn) {
		return false
	}
	if start <= b.key && !fn(b.key, b.value) {
		return false
	}
	return b.right.from(start, fn)
}
