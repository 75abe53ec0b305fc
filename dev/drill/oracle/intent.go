package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// lost compares what was acknowledged with what is there.
func lost(h History) Finding {
	f := Finding{Rule: RuleLost, Bound: "none"}
	acknowledged := 0
	byName := map[string][]Write{}
	for _, w := range h.Writes {
		byName[w.Name] = append(byName[w.Name], w)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		var last Write
		unanswered := int64(0) // each may have taken effect, also late
		for _, w := range byName[name] {
			if !w.Acknowledged {
				unanswered++
				continue
			}
			acknowledged++
			if last.Acknowledged && w.Generation <= last.Generation {
				f.violation(
					"%s: generation %d was acknowledged after %d: what %d wrote was lost",
					name,
					w.Generation,
					last.Generation,
					last.Generation,
				)
			}
			if last.Acknowledged && w.Generation > last.Generation+1+unanswered {
				f.violation("%s: generation %d was acknowledged after %d, only %d writes had no answer: somebody else wrote",
					name, w.Generation, last.Generation, unanswered)
			}
			last = w
		}
		for _, server := range slices.Sorted(maps.Keys(h.Finals)) {
			object, there := h.Finals[server][name]
			switch {
			case last.Acknowledged && !there:
				f.violation("%s: acknowledged at generation %d, not there on %s", name, last.Generation, server)
			case last.Acknowledged && object.Generation < last.Generation:
				f.violation(
					"%s: acknowledged at generation %d, on %s it is at %d",
					name,
					last.Generation,
					server,
					object.Generation,
				)
			case object.Generation > last.Generation+unanswered:
				f.violation("%s: on %s it is at generation %d, acknowledged was %d and %d writes have no answer",
					name, server, object.Generation, last.Generation, unanswered)
			}
		}
	}
	f.Measured = fmt.Sprintf(
		"%d of %d writes acknowledged, compared on %d servers",
		acknowledged,
		len(h.Writes),
		len(h.Finals),
	)
	return f
}

// Roles that matter here; a relay needs no feeds of reports.
const (
	RoleRelay     = "relay"
	roleServer    = "server"
	reportsSuffix = "/reports"
)

// unequal compares the holders.
func unequal(h History) Finding {
	f := Finding{Rule: RuleUnequal, Bound: "positions and digests the same"}
	type source struct {
		state FeedState
		who   string
	}
	agreed := map[string]source{}
	feeds := map[string]bool{}
	for _, holder := range h.Holders {
		for id := range holder.Feeds {
			if id != ResourcesFeed {
				feeds[id] = true
			}
		}
	}
	for _, holder := range h.Holders {
		if holder.Error != "" {
			f.violation("%s can't be compared: %s", holder.Process, holder.Error)
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(feeds)) {
			if _, there := holder.Feeds[id]; !there && (holder.Role != RoleRelay || !strings.HasSuffix(id, reportsSuffix)) {
				f.violation("%s does not hold %s", holder.Process, id)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(holder.Feeds)) {
			state, key := holder.Feeds[id], id
			if id == ResourcesFeed {
				state.Position, key = "", id+" of "+holder.Center // each relay's renderings have positions of their own
			}
			first, there := agreed[key]
			if !there {
				agreed[key] = source{state, holder.Process}
			} else if first.state != state {
				f.violation("%s: %s has %s, %s has %s", key, first.who, first.state, holder.Process, state)
			}
		}
	}
	f.Measured = fmt.Sprintf("%d holders of %d feeds", len(h.Holders), len(feeds))
	return f
}

func (s FeedState) String() string {
	return fmt.Sprintf("%d records, digest %s at %q", s.Records, s.Digest, s.Position)
}

// Equal says whether the holders are, for those who wait for it.
func Equal(holders []Holder) bool { return unequal(History{Holders: holders}).Violations == 0 }
