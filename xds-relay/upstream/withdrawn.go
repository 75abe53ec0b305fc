package upstream

import (
	"context"
	"log/slog"
	"sync"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
)

// withdrawn are the Clusters that were deleted: the relay keeps no copy of their feeds, also not on disk. Its own cluster's
// it keeps, which its agent gives it without asking anybody.
type withdrawn struct {
	set *feed.Set
	own string
	log *slog.Logger

	mu       sync.Mutex
	declared *model.Declared
}

func newWithdrawn(set *feed.Set, own string, log *slog.Logger) *withdrawn {
	var before []string
	for _, id := range set.Ended() {
		if cluster, _, ok := model.SplitFeedID(id); ok {
			before = append(before, cluster)
		}
	}
	return &withdrawn{set: set, own: own, log: log, declared: model.NewDeclared(before)}
}

func (w *withdrawn) is(cluster string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cluster != w.own && w.declared.Deleted(cluster)
}

// run follows the relay's copy of the intent until ctx ends. The copy from disk is what was declared when the relay stopped.
func (w *withdrawn) run(ctx context.Context) error {
	watch := w.set.Watch()
	defer watch.Close()
	var cursor *feed.Cursor
	for {
		watch.Changed()
		if log, ok := w.set.Get(feed.IntentID); ok && cursor == nil {
			cursor = log.Cursor(feed.Position{})
			defer cursor.Close()
		}
		if cursor != nil {
			for batch, ok := cursor.Next(); ok; batch, ok = cursor.Next() {
				w.mu.Lock()
				deleted, _ := w.declared.Apply(batch)
				w.mu.Unlock()
				for _, cluster := range deleted {
					w.remove(cluster)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch.C():
		}
	}
}

func (w *withdrawn) remove(cluster string) {
	for _, id := range w.set.IDs() {
		if of, _, ok := model.SplitFeedID(id); !ok || of != cluster || cluster == w.own {
			continue
		}
		if err := w.set.Remove(id); err != nil {
			w.log.Error("the feed of a deleted Cluster is removed from memory only", "feed", string(id), "error", err)
			continue
		}
		w.log.Info("the feed of a deleted Cluster is removed", "feed", string(id))
	}
}
