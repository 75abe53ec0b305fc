package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
)

// withdrawal keeps the feeds of Clusters that were deleted out of this server, whoever still holds a copy. It goes by what
// the replicated log says was deleted, never by what it does not say.
type withdrawal struct {
	mu       sync.Mutex
	declared *model.Declared
}

func newWithdrawal(feeds *feed.Set) *withdrawal {
	var before []string
	for _, id := range feeds.Ended() {
		if cluster, _, ok := model.SplitFeedID(id); ok {
			before = append(before, cluster)
		}
	}
	return &withdrawal{declared: model.NewDeclared(before)}
}

// refusal is why a feed is not taken; nil: it is.
func (w *withdrawal) refusal(id feed.ID) error {
	cluster, _, ok := model.SplitFeedID(id)
	if !ok {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.declared.Deleted(cluster) {
		return fmt.Errorf("feed %s: Cluster %q was deleted: declare it anew, or stop its agent", id, cluster)
	}
	return nil
}

// want is every cluster's feed that was not withdrawn; the intent each server writes for itself.
func (w *withdrawal) want(id feed.ID) (feed.Filter, bool) {
	return feed.Filter{}, id != feed.IntentID && w.refusal(id) == nil
}

// strangersAfter is how long after a start feeds from disk are kept that nobody speaks for.
const strangersAfter = time.Minute

// withdraw removes the feeds of Clusters that are deleted, until ctx ends. One that is declared anew begins with what its
// agent says then. It begins when this replica is as far as the leader: on the way there it sees what was long ago.
func (s *Core) withdraw(ctx context.Context) error {
	if !s.caughtUp(ctx) {
		return nil
	}
	watch := s.feeds.Watch()
	defer watch.Close()
	cursor := s.machine.Feed().Cursor(feed.Position{})
	defer cursor.Close()
	strangers := time.NewTimer(strangersAfter)
	defer strangers.Stop()
	for {
		watch.Changed() // of whatever feed: the cursor says whether there is something
		for batch, ok := cursor.Next(); ok; batch, ok = cursor.Next() {
			s.withdrawal.mu.Lock()
			deleted, again := s.withdrawal.declared.Apply(batch)
			s.withdrawal.mu.Unlock()
			for _, cluster := range deleted {
				s.withdrawFeeds("its Cluster was deleted", func(of string, _ *feed.Log) bool { return of == cluster })
			}
			if len(again) > 0 {
				s.service.Reconsider(func(feed.ID) bool { return true })
				s.follower.Reconsider()
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch.C():
		case <-strangers.C:
			s.withdrawStrangers()
		}
	}
}

// caughtUp returns true when this replica has all that was acknowledged before, false when ctx ends.
func (s *Core) caughtUp(ctx context.Context) bool {
	for ctx.Err() == nil {
		revision, err := s.backend.ReadRevision(ctx)
		if err == nil && s.machine.WaitRevision(ctx, revision) == nil {
			return true
		}
		pause(ctx, stewardEvery)
	}
	return false
}

// withdrawStrangers removes what is left on disk of Clusters that were deleted while this server was down: no Cluster is
// declared, and no writer speaks. Where no Cluster is declared at all, they may all come yet.
func (s *Core) withdrawStrangers() {
	s.withdrawFeeds("no Cluster of that name is declared, and its writer is silent", func(of string, log *feed.Log) bool {
		s.withdrawal.mu.Lock()
		defer s.withdrawal.mu.Unlock()
		return s.withdrawal.declared.Any() && !s.withdrawal.declared.Knows(of) && log.Stale() && !log.Home()
	})
}

// withdrawFeeds removes the feeds of clusters that are to go.
func (s *Core) withdrawFeeds(why string, goes func(cluster string, log *feed.Log) bool) {
	for _, id := range s.feeds.IDs() {
		cluster, _, ok := model.SplitFeedID(id)
		log, there := s.feeds.Get(id)
		if !ok || !there || !goes(cluster, log) {
			continue
		}
		if err := s.feeds.Remove(id); err != nil {
			s.log.Error("a feed is removed from memory only", "feed", string(id), "why", why, "error", err)
			continue
		}
		s.log.Info("a feed is removed", "feed", string(id), "why", why)
	}
}
