package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// retryAfter is the pause before a file that somebody is writing is looked at again.
const retryAfter = 3 * time.Millisecond

// reading is what one look at the file gave: a registry, or why there is none.
type reading struct {
	registry *Registry
	err      error
}

// watcher follows the registry file. It watches the folder, not the file: a file that is replaced takes its watch
// along.
type watcher struct {
	file file
	poll time.Duration
	log  *slog.Logger
	out  chan<- reading

	// taken is the content that was handed on last, problem the error that was.
	taken   []byte
	problem string
}

// run hands on each content that differs from the last and each new error, until ctx ends.
func (w *watcher) run(ctx context.Context) {
	folder := filepath.Dir(w.file.path)
	var events chan fsnotify.Event
	var lost chan error
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("no file events: the registry file is only looked at now and then", "error", err, "every", w.poll)
	} else {
		defer notify.Close()
		events, lost = notify.Events, notify.Errors
	}
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		// A folder that was made anew has no watch yet; adding one that is there costs nothing.
		if notify != nil {
			_ = notify.Add(folder)
		}
		if again := w.look(ctx); again {
			retry.Reset(retryAfter)
		}
		if !w.wait(ctx, events, lost, poll.C, retry.C) {
			return
		}
	}
}

// wait returns when the file is worth a look; false: ctx has ended.
func (w *watcher) wait(
	ctx context.Context, events <-chan fsnotify.Event, lost <-chan error, poll, retry <-chan time.Time,
) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case e := <-events:
			// Other names matter too: a file may be a link whose target's link is replaced beside it.
			if filepath.Base(e.Name) == filepath.Base(w.file.path) || w.file.changed() {
				return true
			}
		case err := <-lost:
			w.log.Warn("file events were lost", "error", err)
			return true
		case <-poll:
			return true
		case <-retry:
			return true
		}
	}
}

// look reads the file and hands on what is new; again: somebody is writing it.
func (w *watcher) look(ctx context.Context) (again bool) {
	data, err := w.file.read(time.Now())
	if errors.Is(err, errUnsettled) {
		return true
	}
	if err == nil && w.taken != nil && w.problem == "" && bytes.Equal(data, w.taken) {
		return false
	}
	r := reading{err: err}
	if err == nil {
		if r.registry, r.err = Parse(data); r.err != nil {
			r.err = fmt.Errorf("registry file %s refused, what was last read stays in force: %w", w.file.path, r.err)
		}
	}
	problem := ""
	if r.err != nil {
		problem = r.err.Error()
		if problem == w.problem {
			return false
		}
	} else {
		w.taken = data
	}
	w.problem = problem
	select {
	case w.out <- r:
	case <-ctx.Done():
	}
	return false
}
