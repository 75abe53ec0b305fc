package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"pentad.dev/pentad/federation/feed"
)

const (
	// maxRounds is how often within roundsIn a writer may be outbid before it gives up: once is a lost disk, again
	// and again is another agent under the same identity.
	maxRounds = 5
	roundsIn  = time.Minute
)

// ErrOutbid ends an agent whose feeds another agent writes, too.
var ErrOutbid = errors.New("another agent writes this cluster's feeds")

// writer is the one writer of one feed. Its lock orders takeovers and commits, so that none falls between the reading
// of the whole set and the new incarnation that begins with it.
type writer struct {
	log          *feed.Log
	incarnations *incarnations
	logger       *slog.Logger

	mu     sync.Mutex
	begun  bool
	rounds []time.Time
}

// replace makes whole the state of the feed. The first time it begins an incarnation with it (rules 2 and 3); later
// it is a commit of what differs.
func (w *writer) replace(whole []feed.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.begun {
		return w.begin(whole)
	}
	named := make(map[[2]string]bool, len(whole))
	for _, c := range whole {
		named[[2]string{c.Kind, c.Key}] = true
	}
	changes := whole
	for r := range w.log.All() {
		if !named[[2]string{r.Kind, r.Key}] {
			changes = append(changes, feed.Change{Kind: r.Kind, Key: r.Key})
		}
	}
	_, err := w.log.Commit(changes...)
	return err
}

// commit writes what changed; what did not is dropped by the log.
func (w *writer) commit(changes ...feed.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.log.Commit(changes...)
	return err
}

// ahead is rule 4: a reader holds a position above ours, so it would ignore us for good. The feed begins anew above it.
// The data folder's lock is the lease: this process has held it since before it first wrote.
func (w *writer) ahead(stated feed.Position) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.begun || !w.log.Position().Before(stated) {
		return nil // not begun: begin will see it in the log's Highest. Not above: answered already
	}
	now := time.Now()
	w.rounds = slices.DeleteFunc(w.rounds, func(t time.Time) bool { return now.Sub(t) > roundsIn })
	if len(w.rounds) == maxRounds {
		return fmt.Errorf("feed %s: %w: outbid %d times within %s, now by %s; stop one of the agents, "+
			"or give it a cluster of its own", w.log.ID(), ErrOutbid, maxRounds, roundsIn, stated)
	}
	w.rounds = append(w.rounds, now)
	w.logger.Warn("a reader is ahead of the writer: a higher incarnation is taken",
		"feed", w.log.ID(), "position", w.log.Position().String(), "stated", stated.String())
	var whole []feed.Change
	for r := range w.log.All() {
		whole = append(whole, feed.Change{Kind: r.Kind, Key: r.Key, Value: r.Value})
	}
	return w.begin(whole)
}

// begin takes a new incarnation. The lock is held.
func (w *writer) begin(whole []feed.Change) error {
	for {
		incarnation, err := w.incarnations.next(w.log.ID(), w.log.Highest().Incarnation)
		if err != nil {
			return err
		}
		position, err := w.log.Begin(incarnation, whole)
		if errors.Is(err, feed.ErrPosition) && w.log.Highest().Incarnation >= incarnation {
			if w.incarnations.broken.reuseIncarnation {
				return err
			}
			continue // a reader stated something higher in between
		}
		if err != nil {
			return err
		}
		w.begun = true
		w.logger.Info("feed begun", "feed", w.log.ID(), "position", position.String(), "records", w.log.Len())
		return nil
	}
}
