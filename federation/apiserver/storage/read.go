package storage

import (
	"context"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
)

// The words of the library's own storage, which clients and tests know.
const (
	listExpired     = "The resourceVersion for the provided list is too old."
	continueExpired = "The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to " +
		"retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - " +
		"objects that were created, modified, or deleted between the time the first chunk was returned and now may " +
		"show up in the list."
	watchExpired = "The resourceVersion for the provided watch is too old."
)

func (s *Storage) consistent(ctx context.Context) (View, error) {
	if s.planted.staleReads {
		return s.state.Local(), nil
	}
	return s.state.Consistent(ctx)
}

// notOlderThan answers a read by its resourceVersion: "" is a consistent read, "0" is what this replica has, any
// other is waited for.
func (s *Storage) notOlderThan(ctx context.Context, resourceVersion string) (View, error) {
	if resourceVersion == "" {
		return s.consistent(ctx)
	}
	revision, err := s.versioner.ParseResourceVersion(resourceVersion)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid resource version: %v", err))
	}
	if err := s.reach(ctx, revision); err != nil {
		return nil, err
	}
	return s.state.Local(), nil
}

// reach waits for a revision, but not for ever: it may be of another estate, or of a future that never comes.
func (s *Storage) reach(ctx context.Context, revision uint64) error {
	if s.state.Local().Revision() >= revision {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, s.reachPatience)
	defer cancel()
	if err := s.state.Reach(bounded, revision); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return storage.NewTooLargeResourceVersionError(revision, s.state.Local().Revision(), 1)
	}
	return nil
}

// Get implements storage.Interface.
func (s *Storage) Get(ctx context.Context, key string, opts storage.GetOptions, out runtime.Object) error {
	key, err := storage.PrepareKey(s.prefix, key, false)
	if err != nil {
		return err
	}
	view, err := s.notOlderThan(ctx, opts.ResourceVersion)
	if err != nil {
		return err
	}
	item, found := view.Get(key)
	if !found {
		if opts.IgnoreNotFound {
			return runtime.SetZeroValue(out)
		}
		return storage.NewKeyNotFoundError(key, 0)
	}
	plain, _, err := s.open(ctx, key, item.Value)
	if err != nil {
		return err
	}
	return s.decode(plain, out, item.Revision)
}

// GetList implements storage.Interface.
func (s *Storage) GetList(ctx context.Context, key string, opts storage.ListOptions, listObj runtime.Object) error {
	prefix, err := storage.PrepareKey(s.prefix, key, opts.Recursive)
	if err != nil {
		return err
	}
	exact, start, err := storage.ValidateListOptions(prefix, s.versioner, opts)
	if err != nil {
		return err
	}
	view, err := s.listView(ctx, exact, opts)
	if err == ErrCompacted {
		return expired(opts, start, prefix)
	}
	if err != nil {
		return err
	}
	p, err := newPage(s, opts, listObj)
	if err != nil {
		return err
	}
	if opts.Recursive {
		view.Range(prefix, start, func(item Item) bool { return p.add(ctx, item) })
	} else if item, found := view.Get(prefix); found {
		p.add(ctx, item)
	}
	if p.err == nil {
		p.err = ctx.Err()
	}
	if p.err != nil {
		return p.err
	}
	if p.items.IsNil() {
		p.items.Set(reflect.MakeSlice(p.items.Type(), 0, 0))
	}
	token, remaining, err := storage.PrepareContinueToken(p.last, prefix, int64(view.Revision()),
		p.left+opts.Predicate.Limit, p.more, opts)
	if err != nil {
		return err
	}
	return s.versioner.UpdateList(listObj, view.Revision(), token, remaining)
}

func (s *Storage) listView(ctx context.Context, exact int64, opts storage.ListOptions) (View, error) {
	if exact > 0 {
		if err := s.reach(ctx, uint64(exact)); err != nil {
			return nil, err
		}
		return s.state.At(uint64(exact))
	}
	if opts.Predicate.Continue != "" { // a token without a revision goes on at the present
		return s.consistent(ctx)
	}
	return s.notOlderThan(ctx, opts.ResourceVersion)
}

// expired is the 410 of a list. For a continue token it offers a new one, which goes on from the same key at the
// present.
func expired(opts storage.ListOptions, start, prefix string) error {
	if opts.Predicate.Continue == "" {
		return apierrors.NewResourceExpired(listExpired)
	}
	token, err := storage.EncodeContinue(start, prefix, -1)
	if err != nil {
		return apierrors.NewResourceExpired(listExpired)
	}
	gone := apierrors.NewResourceExpired(continueExpired)
	gone.ErrStatus.ListMeta.Continue = token
	return gone
}

// page gathers the objects of one list response.
type page struct {
	storage *Storage
	opts    storage.ListOptions
	items   reflect.Value
	last    string // key of the last object that was looked at
	more    bool   // there are keys beyond the limit
	left    int64  // how many, if all of them count
	err     error
}

func newPage(s *Storage, opts storage.ListOptions, listObj runtime.Object) (*page, error) {
	ptr, err := meta.GetItemsPtr(listObj)
	if err != nil {
		return nil, err
	}
	items, err := conversion.EnforcePtr(ptr)
	if err != nil {
		return nil, fmt.Errorf("items of the list: %w", err)
	}
	if items.Kind() != reflect.Slice {
		return nil, fmt.Errorf("items of the list: need a slice, not %s", items.Kind())
	}
	return &page{storage: s, opts: opts, items: items}, nil
}

func (p *page) add(ctx context.Context, item Item) bool {
	if limit := int(p.opts.Predicate.Limit); limit > 0 && p.items.Len() >= limit {
		p.more = true
		p.left++
		return p.opts.Predicate.Empty() // the rest is only counted
	}
	p.last = item.Key
	plain, _, err := p.storage.open(ctx, item.Key, item.Value)
	if err != nil {
		p.err = err
		return false
	}
	obj := newOf(p.items.Type().Elem())
	if p.err = p.storage.decode(plain, obj, item.Revision); p.err != nil {
		return false
	}
	if matches, err := p.opts.Predicate.Matches(obj); err == nil && matches {
		p.items.Set(reflect.Append(p.items, reflect.ValueOf(obj).Elem()))
	}
	return ctx.Err() == nil
}

func newOf(t reflect.Type) runtime.Object {
	obj := reflect.New(t).Interface().(runtime.Object)
	if u, ok := obj.(runtime.Unstructured); ok {
		return u.NewEmptyInstance()
	}
	return obj
}
