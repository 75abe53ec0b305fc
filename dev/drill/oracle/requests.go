package oracle

import (
	"fmt"
	"slices"

	"pentad.dev/pentad/dev/sample/record"
)

// index finds registrations and lives.
type index struct {
	h         History
	byAddress map[string][]Registration
	byService map[string]map[string][]Registration // by service and instance
	byProcess map[string][]Life
}

func newIndex(h History) *index {
	x := &index{
		h: h, byAddress: map[string][]Registration{}, byService: map[string]map[string][]Registration{},
		byProcess: map[string][]Life{},
	}
	inOrder := slices.Clone(h.Registrations)
	slices.SortStableFunc(inOrder, func(a, b Registration) int { return int(a.At - b.At) })
	for _, r := range inOrder {
		x.byAddress[r.Address] = append(x.byAddress[r.Address], r)
		if x.byService[r.Service] == nil {
			x.byService[r.Service] = map[string][]Registration{}
		}
		x.byService[r.Service][r.Instance] = append(x.byService[r.Service][r.Instance], r)
	}
	for _, l := range h.Lives {
		x.byProcess[l.Process] = append(x.byProcess[l.Process], l)
	}
	return x
}

// last is the newest registration not after at.
func last(history []Registration, at Time) (Registration, bool) {
	for _, r := range slices.Backward(history) {
		if r.At <= at {
			return r, true
		}
	}
	return Registration{}, false
}

func (x *index) removed(b Bounds) Finding {
	f := Finding{Rule: RuleRemoved, Bound: fmt.Sprintf("at most %s after its removal", ms(b.Removal))}
	var latest Time
	for _, r := range x.h.Requests {
		if r.Peer == "" {
			continue
		}
		registration, known := last(x.byAddress[r.Peer], r.Start)
		switch {
		case !known:
			f.violation("%s's client sent a request for %s to %s, which was never registered", r.Client, r.Service, r.Peer)
		case registration.Service != r.Service:
			f.violation(
				"%s's client sent a request for %s to %s, which is %s of %s",
				r.Client,
				r.Service,
				r.Peer,
				registration.Instance,
				registration.Service,
			)
		case !registration.Ready:
			late := r.Start - x.effective(registration, b)
			latest = max(latest, late)
			if late.Sub(0) > b.Removal {
				f.violation(
					"%s's client sent a request for %s to %s %s after it was removed",
					r.Client,
					r.Service,
					registration.Instance,
					ms(late.Sub(0)),
				)
			}
		}
	}
	f.Measured = fmt.Sprintf("latest request %s after", ms(latest.Sub(0)))
	return f
}

// effective is when a removal could begin to spread: at once, unless the agent that reads the file did not run, or died
// before it can have been expected to hand it on; then when an agent was there again.
func (x *index) effective(r Registration, b Bounds) Time {
	if r.Agent == "" {
		return r.At
	}
	for _, l := range x.byProcess[r.Agent] {
		switch {
		case l.Ready == 0 || l.End != 0 && min(l.Signal, l.End) <= r.At.Add(b.Removal):
		case l.Ready <= r.At:
			return r.At
		default:
			return l.Ready
		}
	}
	return endOfTime
}

// endOfTime is later than every event.
const endOfTime = Time(1<<63 - 1)

// running says whether a process ran and served throughout.
func (x *index) running(process string, from, to Time) bool {
	return slices.ContainsFunc(x.byProcess[process], func(l Life) bool {
		return l.Ready != 0 && l.Ready <= from && (l.End == 0 || min(l.Signal, l.End) > to)
	})
}

// existed says whether some endpoint of the service existed throughout.
func (x *index) existed(service string, from, to Time) (string, bool) {
	for instance, history := range x.byService[service] {
		registration, known := last(history, from)
		again, _ := last(history, to)
		if known && registration.Ready && again == registration && x.running(registration.Process, from, to) {
			return instance, true
		}
	}
	return "", false
}

// owned says whether only one unit may answer a request: it is a write, or of a sharded service.
func (x *index) owned(r record.Request) bool {
	return r.WriteID != "" || slices.Contains(x.h.Sharded, r.Service)
}

func (x *index) starved(b Bounds) Finding {
	f := Finding{Rule: RuleStarved, Bound: fmt.Sprintf("at most %s without a good answer", ms(b.Starved))}
	asked := map[string][]record.Request{}
	for _, r := range x.h.Requests {
		if r.WriteID == "" {
			key := r.Client + "\x00" + r.Service
			asked[key] = append(asked[key], r)
		}
		if r.Cause != record.CauseNoEndpoints || x.owned(r) {
			continue
		}
		if instance, ok := x.existed(r.Service, r.Start.Add(-b.Settle), r.End); ok {
			f.violation("%s's client had no endpoint of %s to pick from, %s existed: %s", r.Client, r.Service, instance, r.Error)
		}
	}
	var longest Time
	for _, c := range x.h.Clients {
		for _, service := range c.Services {
			if slices.Contains(x.h.Sharded, service) {
				continue
			}
			longest = max(longest, x.gaps(c, service, asked[c.Center+"\x00"+service], b, &f))
		}
	}
	f.Measured = fmt.Sprintf("longest %s", ms(longest.Sub(0)))
	return f
}

// gaps finds the times without a good answer in a client's life, each from when the client first asked.
func (x *index) gaps(c ClientLife, service string, requests []record.Request, b Bounds, f *Finding) (longest Time) {
	var starts, answers []Time
	for _, r := range requests {
		if r.Start < c.From || r.Start > c.To {
			continue
		}
		starts = append(starts, r.Start)
		if r.OK() && r.End <= c.To {
			answers = append(answers, r.End)
		}
	}
	slices.Sort(starts)
	slices.Sort(answers)
	from := c.From
	for _, to := range append(answers, c.To) {
		i, _ := slices.BinarySearch(starts, from)
		if i < len(starts) && starts[i] < to {
			gap := to - starts[i]
			instance, ok := "", gap.Sub(0) <= b.Starved
			if ok {
				longest = max(longest, gap)
			} else if instance, ok = x.existed(service, starts[i].Add(-b.Settle), to); ok {
				longest = max(longest, gap)
				f.violation("%s's client got no good answer from %s for %s, %s existed",
					c.Center, service, ms(gap.Sub(0)), instance)
			}
		}
		from = to
	}
	return longest
}

func (x *index) account() Accounts {
	a := Accounts{ByCause: map[string]int{}}
	for _, r := range x.h.Requests {
		switch fate := x.fate(r); fate {
		case FateOK:
			a.OK++
		case FateInFlight:
			a.InFlight++
		case FateUnknown:
			a.Unknown++
		case FateSharded:
			a.Sharded++
		default:
			a.ByCause[fate]++
		}
	}
	return a
}

func (x *index) fate(r record.Request) string {
	switch {
	case r.Open:
		return FateUnknown
	case r.OK():
		return FateOK
	case x.owned(r):
		return FateSharded
	}
	registration, known := last(x.byAddress[r.Peer], r.Start)
	if r.Peer == "" || !known {
		return r.Cause
	}
	for _, l := range x.byProcess[registration.Process] {
		if l.Killed && l.End != 0 && r.Start <= l.End && r.End >= l.Signal {
			return FateInFlight
		}
	}
	for i, l := range x.byProcess[registration.Process] {
		next := endOfTime
		if i+1 < len(x.byProcess[registration.Process]) {
			next = x.byProcess[registration.Process][i+1].Start
		}
		if l.End != 0 && r.Start > l.End && r.Start < next {
			return CauseDead
		}
	}
	return r.Cause
}
