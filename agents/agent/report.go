package agent

import (
	"errors"
	"log/slog"
	"strings"
	"sync"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// errNoAnswer is reported of a source until it has answered.
var errNoAnswer = errors.New("the source has not answered yet: what readers last knew of it stays in force")

// maxError bounds the text of a report.
const maxError = 4096

// report is what the agent says of one source in the cluster's feed of reports; it is written when it changes, only.
type report struct {
	source string
	writer *writer // of the feed of reports
	logger *slog.Logger

	mu sync.Mutex
	// read is the source's own Problem, stopped why its last Run ended.
	read, stopped error
	answered      bool
	// counts is what tally said of each record that is there.
	counts    map[string]int
	services  int
	endpoints int
}

func (r *report) problem(err error) {
	r.change(func() { r.read = err })
}

func (r *report) ended(err error) {
	r.change(func() { r.stopped = err })
}

func (r *report) replaced(count map[string]int) {
	r.change(func() {
		r.answered, r.stopped = true, nil
		r.counts, r.services, r.endpoints = map[string]int{}, 0, 0
		r.add(count)
	})
}

func (r *report) applied(count map[string]int) {
	r.change(func() { r.add(count) })
}

func (r *report) add(count map[string]int) {
	for key, n := range count {
		if old, there := r.counts[key]; there {
			r.tell(old, -1)
			delete(r.counts, key)
		}
		if n != gone {
			r.tell(n, 1)
			r.counts[key] = n
		}
	}
}

func (r *report) tell(n, sign int) {
	if n == aService {
		r.services += sign
	} else {
		r.endpoints += sign * n
	}
}

func (r *report) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	change, err := r.record()
	if err == nil {
		err = r.writer.commit(change)
	}
	if err != nil && !errors.Is(err, feed.ErrNotWriter) {
		r.logger.Error("report not written", "source", r.source, "error", err)
	}
}

// record is the report as it stands. The lock is held.
func (r *report) record() (feed.Change, error) {
	message := &modelpb.SourceReport{
		Source: r.source, Services: uint32(r.services), Endpoints: uint32(r.endpoints),
	}
	if err := r.trouble(); err != nil {
		text := err.Error()
		message.Error = text[:min(len(text), maxError)]
	}
	value, err := model.Encode(message)
	return feed.Change{Kind: model.KindSourceReport, Key: r.source, Value: value}, err
}

func (r *report) trouble() error {
	switch {
	case r.read != nil || r.stopped != nil:
		return errors.Join(r.read, r.stopped)
	case !r.answered:
		return errNoAnswer
	}
	return nil
}

// ReportStore writes what is to be said of this cluster's member of a store to the feed of reports; nil: nothing any
// more. It may be called from any goroutine, and fails with feed.ErrNotWriter until Run has begun the feed: ask again.
// What is not new is not written.
func (a *Agent) ReportStore(store string, report *modelpb.StoreReport) error {
	change := feed.Change{Kind: model.KindStoreReport, Key: store}
	if report != nil {
		report.Error = strings.ToValidUTF8(report.Error[:min(len(report.Error), maxError)], "")
		var err error
		if change.Value, err = model.Encode(report); err != nil {
			return err
		}
		if err := model.Check(change.Kind, change.Key, change.Value); err != nil {
			return err
		}
	}
	return a.reports.commit(change)
}
