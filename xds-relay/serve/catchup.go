package serve

import (
	"strconv"
	"strings"
	"time"
)

// A client that was at another relay may have newer routes than this one: taken back, it would send writes to the owner
// before the last. Its version says so, as epochs have an order. Its routes then wait until this relay has caught up,
// for which the commit that brings it is the signal; after CatchUp they go as they are, since a client must not depend
// on a relay that was ahead and is gone.
//
// It is enough that the highest since of the set is as high as the one shown, also if names were added to the set
// meanwhile: epochs are the estate's, and a commit of the renderer is a state of the estate, so a relay that has
// anything of an epoch has everything up to it. All names of the type wait, not only those that the client had: the
// version that came with an added name would replace the one that it has to show if it moves on.

// maxCatchUp is rule 7's bound.
const maxCatchUp = 2 * time.Second

// wait is a stream's wait for what its client had elsewhere.
type wait struct {
	version string // as the client showed it
	since   uint64
	until   time.Time
}

// Miss is an answer that took a client back, as far as its version says.
type Miss struct {
	Type string `json:"type"`
	// Shown is the since that the client had, Had the one that it was given.
	Shown uint64    `json:"shown,string"`
	Had   uint64    `json:"had,string"`
	At    time.Time `json:"at"`
}

// await notes what the first request of a type shows, if this relay has less. The table's read lock is held.
func (s *sotw) await(sub *subscription, version string, now time.Time) {
	if !sub.kind.owned || s.cfg.Since == nil || s.cfg.faults.noCatchUp {
		return
	}
	w := &wait{version: version, since: sinceOf(version), until: now.Add(s.cfg.CatchUp)}
	if s.cfg.faults.anyVersion {
		first, _, _ := strings.Cut(version, ".")
		w.since, _ = strconv.ParseUint(first, 10, 64)
	}
	if s.lags(sub, w) {
		sub.wait = w
	}
}

// lags says that this relay has less than what is waited for. The table's read lock is held.
func (s *sotw) lags(sub *subscription, w *wait) bool {
	if s.cfg.faults.orderByHash {
		_, theirs, _ := strings.Cut(w.version, ".")
		_, ours, _ := strings.Cut(s.version(sub), ".")
		return theirs > ours
	}
	since, _ := s.weighed(sub)
	return since < w.since
}

// waits says that something is held back by a wait.
func (sub *subscription) waits() bool { return sub.wait != nil && (sub.full || len(sub.due) > 0) }

// catchingUp says that what there is to be sent has to wait, and ends the wait when it is over. It is asked only when
// there is something. The table's read lock is held.
func (s *sotw) catchingUp(sub *subscription, now time.Time) bool {
	if s.cfg.faults.holdOthers {
		for _, other := range s.order {
			if other != sub && other.waits() && now.Before(other.wait.until) && s.lags(other, other.wait) {
				return true
			}
		}
	}
	w := sub.wait
	switch {
	case w == nil:
		return false
	case !s.lags(sub, w):
	case now.Before(w.until), s.cfg.faults.waitForEver:
		return true
	default:
		had, _ := s.weighed(sub)
		sub.miss = &Miss{Type: sub.kind.url, Shown: w.since, Had: had, At: now}
		s.missed = append(s.missed, sub.miss)
	}
	sub.wait = nil
	return false
}
