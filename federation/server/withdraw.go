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
	var others []feed.ID
	for {
		changed := append(watch.Changed(), others...)
		if s.declare(cursor) {
			changed = s.feeds.IDs() // which of them are of another Cluster may be news, too
		}
		var again <-chan time.Time
		if others = s.label(changed); len(others) > 0 && s.isCaughtUp(ctx) {
			s.declare(cursor)
			s.labelAnew(others)
			others = nil
		} else if len(others) > 0 {
			again = time.After(stewardEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch.C():
		case <-again:
		case <-strangers.C:
			s.withdrawStrangers()
		}
	}
}

// declare takes in which Clusters are declared as this replica knows it, and removes the feeds of those that were deleted;
// false: nothing is new.
func (s *Core) declare(cursor *feed.Cursor) (news bool) {
	for batch, ok := cursor.Next(); ok; batch, ok = cursor.Next() {
		news = true
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
	return news
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

// isCaughtUp is caughtUp without much patience.
func (s *Core) isCaughtUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*stewardEvery)
	defer cancel()
	return s.caughtUp(ctx)
}

// label says of copies of feeds for which Cluster they are held, by its UID, and returns those that are held for another
// one of that name, as far as this replica knows: which of the two is the later one is told by what is acknowledged now.
func (s *Core) label(ids []feed.ID) (others []feed.ID) {
	for _, id := range ids {
		log, uid := s.copyOf(id)
		switch {
		case log == nil || uid == "" || log.Label() == uid:
		case log.Label() != "":
			others = append(others, id)
		default:
			s.setLabel(log, uid)
		}
	}
	return others
}

// labelAnew removes what is left of an earlier Cluster of the name that is declared: it was deleted and declared anew while
// this server was down, or one that was down has brought it back, and no writer speaks. What a writer speaks for is the
// present Cluster's.
func (s *Core) labelAnew(ids []feed.ID) {
	for _, id := range ids {
		switch log, uid := s.copyOf(id); {
		case log == nil || uid == "" || log.Label() == uid:
		case log.Label() != "" && log.Stale() && !log.Home():
			s.withdrawFeed(id, "it is of an earlier Cluster of that name, and its writer is silent")
		default:
			s.setLabel(log, uid)
		}
	}
}

func (s *Core) setLabel(log *feed.Log, uid string) {
	if err := log.SetLabel(uid); err != nil {
		s.log.Error("a feed is not labelled", "feed", string(log.ID()), "uid", uid, "error", err)
	}
}

// copyOf is what is held of a cluster's feed, and the UID of the Cluster of that name that is declared; nil: nothing.
func (s *Core) copyOf(id feed.ID) (log *feed.Log, uid string) {
	cluster, _, ok := model.SplitFeedID(id)
	log, there := s.feeds.Get(id)
	if !ok || !there || log.Position().IsZero() {
		return nil, ""
	}
	s.withdrawal.mu.Lock()
	defer s.withdrawal.mu.Unlock()
	return log, s.withdrawal.declared.UID(cluster)
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
		if ok && there && goes(cluster, log) {
			s.withdrawFeed(id, why)
		}
	}
}

func (s *Core) withdrawFeed(id feed.ID, why string) {
	if err := s.feeds.Remove(id); err != nil {
		s.log.Error("a feed is removed from memory only", "feed", string(id), "why", why, "error", err)
		return
	}
	s.log.Info("a feed is removed", "feed", string(id), "why", why)
}
