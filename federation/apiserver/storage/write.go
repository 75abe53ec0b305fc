package storage

import (
	"bytes"
	"context"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
)

// held is an object as a write found it; revision 0 when there is none.
type held struct {
	obj      runtime.Object
	revision uint64
	plain    []byte
	stale    bool // stored in a form that a write would renew
}

// Create implements storage.Interface. There is no time to live: it would need a leader that proposes expiries.
func (s *Storage) Create(ctx context.Context, key string, obj, out runtime.Object, _ uint64) error {
	key, err := storage.PrepareKey(s.prefix, key, false)
	if err != nil {
		return err
	}
	if revision, err := s.versioner.ObjectResourceVersion(obj); err == nil && revision != 0 {
		return storage.ErrResourceVersionSetOnCreate
	}
	plain, sealed, err := s.seal(ctx, key, obj)
	if err != nil {
		return err
	}
	outcome, err := s.state.Propose(ctx, Write{Key: key, Value: sealed})
	if err != nil {
		return err
	}
	if !outcome.OK {
		return storage.NewKeyExistsError(key, 0)
	}
	if out == nil {
		return nil
	}
	return s.made(ctx, key, plain, outcome, out)
}

// made decodes what a write has made: the state machine adds to some kinds what it alone knows.
func (s *Storage) made(ctx context.Context, key string, plain []byte, outcome Outcome, out runtime.Object) error {
	revision := outcome.Revision
	if current := outcome.Current; current != nil && !s.planted.sentAnswer {
		var err error
		if plain, _, err = s.open(ctx, key, current.Value); err != nil {
			return err
		}
		revision = current.Revision
	}
	return s.decode(plain, out, revision)
}

// GuaranteedUpdate implements storage.Interface.
func (s *Storage) GuaranteedUpdate(ctx context.Context, key string, destination runtime.Object, ignoreNotFound bool,
	preconditions *storage.Preconditions, tryUpdate storage.UpdateFunc, cached runtime.Object) error {
	key, err := storage.PrepareKey(s.prefix, key, false)
	if err != nil {
		return err
	}
	ptr, err := conversion.EnforcePtr(destination)
	if err != nil {
		return fmt.Errorf("output object: %w", err)
	}
	swap := &swap{s: s, key: key, typ: ptr.Type(), ignoreNotFound: ignoreNotFound}
	swap.try = func(h *held) (*attempt, error) {
		if err := preconditions.Check(key, h.obj); err != nil {
			return nil, err
		}
		updated, _, err := tryUpdate(h.obj, storage.ResponseMeta{ResourceVersion: h.revision})
		if err != nil {
			return nil, err
		}
		plain, sealed, err := s.seal(ctx, key, updated)
		if err != nil {
			return nil, err
		}
		same := !h.stale && h.plain != nil && bytes.Equal(plain, h.plain)
		return &attempt{value: sealed, result: plain, nothing: same}, nil
	}
	return swap.run(ctx, cached, destination)
}

// Delete implements storage.Interface.
func (s *Storage) Delete(ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions,
	validate storage.ValidateObjectFunc, cached runtime.Object, _ storage.DeleteOptions) error {
	key, err := storage.PrepareKey(s.prefix, key, false)
	if err != nil {
		return err
	}
	ptr, err := conversion.EnforcePtr(out)
	if err != nil {
		return fmt.Errorf("output object: %w", err)
	}
	swap := &swap{s: s, key: key, typ: ptr.Type()}
	swap.try = func(h *held) (*attempt, error) {
		if err := preconditions.Check(key, h.obj); err != nil {
			return nil, err
		}
		if err := validate(ctx, h.obj); err != nil {
			return nil, err
		}
		return &attempt{result: h.plain}, nil
	}
	return swap.run(ctx, cached, out)
}

// attempt is what a caller wants to do with an object that it was shown.
type attempt struct {
	value   []byte // to store; nil deletes
	result  []byte // what the caller gets back, plain
	nothing bool   // the object is already so
}

// swap is the compare-and-swap loop of updates and deletes.
type swap struct {
	s              *Storage
	key            string
	typ            reflect.Type
	ignoreNotFound bool
	try            func(*held) (*attempt, error)
}

// run starts from what the caller or this replica has, which may be old: the compare-and-swap makes a write from it
// safe and saves a round trip to a quorum. What try refuses, or finds already done, is believed only of a current
// object.
func (w *swap) run(ctx context.Context, cached, out runtime.Object) error {
	h, current, err := w.start(ctx, cached)
	if err != nil {
		return err
	}
	for {
		a, refusal := w.try(h)
		if refusal != nil || a.nothing {
			if current {
				if refusal != nil {
					return refusal
				}
				return w.s.decode(h.plain, out, h.revision)
			}
			was := h.revision
			if h, err = w.current(ctx); err != nil {
				return err
			}
			if current = true; refusal != nil && h.revision == was {
				return refusal
			}
			continue
		}
		outcome, err := w.s.state.Propose(ctx, Write{Key: w.key, Value: a.value, Expect: h.revision})
		if err != nil {
			return err
		}
		if outcome.OK {
			return w.s.made(ctx, w.key, a.result, outcome, out)
		}
		if h, err = w.hold(ctx, outcome.Current); err != nil {
			return err
		}
		current = true
	}
}

func (w *swap) start(ctx context.Context, cached runtime.Object) (h *held, current bool, err error) {
	if cached != nil {
		h, err = w.suggestion(cached)
		return h, false, err
	}
	item := find(w.s.state.Local(), w.key)
	if item == nil && !w.ignoreNotFound { // not found is an answer too: only a current state may give it
		h, err = w.current(ctx)
		return h, true, err
	}
	h, err = w.hold(ctx, item)
	return h, false, err
}

func (w *swap) current(ctx context.Context) (*held, error) {
	view, err := w.s.consistent(ctx)
	if err != nil {
		return nil, err
	}
	return w.hold(ctx, find(view, w.key))
}

func find(view View, key string) *Item {
	if item, found := view.Get(key); found {
		return &item
	}
	return nil
}

func (w *swap) hold(ctx context.Context, item *Item) (*held, error) {
	h := &held{obj: newOf(w.typ)}
	if item == nil {
		if !w.ignoreNotFound {
			return nil, storage.NewKeyNotFoundError(w.key, 0)
		}
		return h, runtime.SetZeroValue(h.obj)
	}
	var err error
	if h.plain, h.stale, err = w.s.open(ctx, w.key, item.Value); err != nil {
		return nil, err
	}
	h.revision = item.Revision
	return h, w.s.decode(h.plain, h.obj, item.Revision)
}

func (w *swap) suggestion(obj runtime.Object) (*held, error) {
	revision, err := w.s.versioner.ObjectResourceVersion(obj)
	if err != nil {
		return nil, fmt.Errorf("resource version of the suggested object: %w", err)
	}
	if err := w.s.versioner.PrepareObjectForStorage(obj); err != nil {
		return nil, err
	}
	plain, err := runtime.Encode(w.s.codec, obj)
	if err != nil {
		return nil, err
	}
	return &held{obj: obj, revision: revision, plain: plain}, w.s.versioner.UpdateObject(obj, revision)
}
