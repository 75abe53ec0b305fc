package storage

import (
	"context"
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/storage"
	utilflowcontrol "k8s.io/apiserver/pkg/util/flowcontrol"
)

// watchBuffer is how many events a watch decodes ahead of its reader. The history itself is the queue, so it is small.
const watchBuffer = 100

// Watch implements storage.Interface. Where the watch starts is fixed when Watch returns: a write acknowledged later
// is seen.
func (s *Storage) Watch(ctx context.Context, key string, opts storage.ListOptions) (watch.Interface, error) {
	key, err := storage.PrepareKey(s.prefix, key, opts.Recursive)
	if err != nil {
		return nil, err
	}
	revision, err := s.versioner.ParseResourceVersion(opts.ResourceVersion)
	if err != nil {
		return nil, err
	}
	w := &watcher{s: s, key: key, opts: opts, out: make(chan watch.Event, watchBuffer)}
	if w.wantsInitial(revision) || revision == 0 {
		view, err := s.notOlderThan(ctx, opts.ResourceVersion)
		if err != nil {
			return nil, err
		}
		if w.wantsInitial(revision) {
			w.initial = view
		}
		revision = view.Revision()
	} else if err := s.reach(ctx, revision); err != nil {
		return nil, err
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.seen = revision
	if s.planted.lateWatch == nil {
		w.cursor, w.err = s.state.Watch(revision)
	}
	go w.run()
	return w, nil
}

type watcher struct {
	s       *Storage
	key     string
	opts    storage.ListOptions
	out     chan watch.Event
	ctx     context.Context
	cancel  context.CancelFunc
	initial View // sent before the events, if asked for
	cursor  Cursor
	seen    uint64 // the revision up to which everything was sent
	err     error  // what kept the cursor from opening
}

// wantsInitial follows the API's rules: sendInitialEvents says it, and without it a watch from 0 or from nothing does.
func (w *watcher) wantsInitial(revision uint64) bool {
	if w.opts.SendInitialEvents != nil {
		return *w.opts.SendInitialEvents
	}
	return revision == 0
}

// Stop implements watch.Interface.
func (w *watcher) Stop() { w.cancel() }

// ResultChan implements watch.Interface.
func (w *watcher) ResultChan() <-chan watch.Event { return w.out }

func (w *watcher) run() {
	defer close(w.out)
	defer w.cancel()
	err := w.sendInitial()
	if err == nil {
		utilflowcontrol.WatchInitialized(w.ctx)
		err = w.follow()
	}
	if w.ctx.Err() != nil {
		return
	}
	var known apierrors.APIStatus
	if errors.Is(err, ErrCompacted) {
		known = apierrors.NewResourceExpired(watchExpired)
	} else if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	w.send(watch.Error, &status)
}

// sendInitial sends what there is as created, and the bookmark that ends it.
func (w *watcher) sendInitial() error {
	if w.initial == nil {
		return nil
	}
	view := w.initial
	w.initial = nil // the picture must not be held as long as the watch
	var err error
	one := func(item Item) bool {
		err = w.sendEvent(Event{Revision: item.Revision, Key: item.Key, Value: item.Value})
		return err == nil
	}
	if w.opts.Recursive {
		view.Range(w.key, "", one)
	} else if item, found := view.Get(w.key); found {
		one(item)
	}
	if err != nil {
		return err
	}
	if w.opts.SendInitialEvents != nil && w.opts.Predicate.AllowWatchBookmarks {
		return w.sendBookmark(true)
	}
	return nil
}

// follow sends events until the watch ends. A watch that sees nothing of what happens is told by bookmarks how far it
// has come: without them the resourceVersion of its last event falls out of the history, and its client lists again
// for nothing.
func (w *watcher) follow() error {
	if late := w.s.planted.lateWatch; late != nil {
		<-late
		w.seen = w.s.state.Local().Revision()
		w.cursor, w.err = w.s.state.Watch(w.seen)
	}
	if w.err != nil {
		return w.err
	}
	var tick <-chan time.Time
	if w.opts.Predicate.AllowWatchBookmarks || w.opts.ProgressNotify {
		ticker := time.NewTicker(w.s.bookmarkEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		events, reached, err := w.cursor.Next(w.ctx, tick)
		if err != nil {
			return err
		}
		for _, event := range events {
			if !w.concerns(event.Key) {
				continue
			}
			if err := w.sendEvent(event); err != nil {
				return err
			}
		}
		w.seen = reached
		due := len(events) == 0
		select {
		case <-tick: // also a busy kind may have nothing for this watch's selector
			due = true
		default:
		}
		if due {
			if err := w.sendBookmark(false); err != nil {
				return err
			}
		}
	}
}

func (w *watcher) concerns(key string) bool {
	return key == w.key || w.opts.Recursive && strings.HasPrefix(key, w.key)
}

func (w *watcher) send(typ watch.EventType, obj runtime.Object) error {
	select {
	case w.out <- watch.Event{Type: typ, Object: obj}:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

func (w *watcher) sendBookmark(endsInitial bool) error {
	obj := w.s.newObject()
	if err := w.s.versioner.UpdateObject(obj, w.seen); err != nil {
		return err
	}
	if endsInitial {
		if err := storage.AnnotateInitialEventsEndBookmark(obj); err != nil {
			return err
		}
	}
	return w.send(watch.Bookmark, obj)
}

// sendEvent turns a change into what this watch's selector sees of it: an object that no longer matches was deleted
// for it, one that matches now was added.
func (w *watcher) sendEvent(event Event) error {
	now, nowMatches, err := w.load(event, event.Value)
	if err != nil {
		return err
	}
	var before runtime.Object
	beforeMatches := event.Prev != nil
	if event.Value == nil || !w.opts.Predicate.Empty() {
		if before, beforeMatches, err = w.load(event, event.Prev); err != nil {
			return err
		}
	}
	switch {
	case nowMatches && beforeMatches:
		return w.send(watch.Modified, now)
	case nowMatches:
		return w.send(watch.Added, now)
	case beforeMatches:
		return w.send(watch.Deleted, before)
	}
	return nil
}

// load decodes one side of a change. Also the side that is gone carries the revision of the change, so that a client
// can go on from it.
func (w *watcher) load(event Event, sealed []byte) (obj runtime.Object, matches bool, err error) {
	if sealed == nil {
		return nil, false, nil
	}
	plain, _, err := w.s.open(w.ctx, event.Key, sealed)
	if err != nil {
		return nil, false, err
	}
	if obj, err = runtime.Decode(w.s.codec, plain); err != nil {
		return nil, false, err
	}
	if err := w.s.versioner.UpdateObject(obj, event.Revision); err != nil {
		return nil, false, err
	}
	if w.opts.Predicate.Empty() {
		return obj, true, nil
	}
	matches, err = w.opts.Predicate.Matches(obj)
	return obj, matches && err == nil, nil
}
