package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/drill/report"
	"pentad.dev/pentad/dev/sample/record"
)

// conclude stops everything, judges, and reports. cause is why the steps did not come to their end.
func (d *Drill) conclude(ctx context.Context, cause error) error {
	ended := record.Now()
	processes := len(d.site.Supervisor().Names())
	fmt.Fprintln(d.screen, "stopping")
	d.site.Down()
	history, in := d.book.close(ended)
	history.Changes, in.Detections = d.tracker.results()
	history.Clients = d.clientLives(ended, history.Lives)
	readers, err := d.records.Readers()
	if err != nil {
		return err
	}
	for _, r := range readers {
		history.Requests = append(history.Requests, r.InFlight()...)
	}
	if d.cfg.Story == StoryUnits {
		history.Sharded = d.shardedServices()
		if history.Units, err = d.unitHistory(history.Requests); err != nil {
			cause = errors.Join(cause, err)
		}
	}
	in.History, in.Bounds, in.Strict = history, d.cfg.Bounds, d.cfg.Strict
	in.Verdict = oracle.Judge(history, d.cfg.Bounds)
	in.Version, in.Started, in.Began, in.Ended = d.cfg.Version, d.started, d.began, ended
	in.Machine = thisMachine(processes)
	switch {
	case ctx.Err() != nil || errors.Is(cause, ErrInterrupted):
		in.Interrupted = fmt.Sprintf("stopped in step %q, after %d of its steps had begun", d.book.step(), len(in.Steps))
	case cause != nil:
		in.Interrupted = cause.Error()
	}
	for _, p := range d.fullPlaces() {
		in.Centers = append(in.Centers, report.Center{Name: p.Center, Region: p.Region})
	}
	r := report.Build(in)
	if err := d.write(r); err != nil {
		return err
	}
	if !d.cfg.Keep {
		if err := os.RemoveAll(filepath.Join(estateFolder(d.cfg.Data), "state")); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil || errors.Is(cause, ErrInterrupted):
		return ErrInterrupted
	case cause != nil:
		return fmt.Errorf("%w: %w", ErrFailed, cause)
	case !r.Pass:
		return ErrFailed
	}
	return nil
}

// write writes the report in its three forms.
func (d *Drill) write(r report.Report) error {
	if err := r.Text(d.cfg.Out); err != nil {
		return err
	}
	for _, form := range []struct {
		name  string
		write func(*os.File) error
	}{
		{"report.txt", func(f *os.File) error { return r.Text(f) }},
		{"report.json", func(f *os.File) error { return r.JSON(f) }},
		{"report.html", func(f *os.File) error { return r.HTML(f) }},
	} {
		path := filepath.Join(d.cfg.Data, form.name)
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := errors.Join(form.write(file), file.Close()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	_, err := fmt.Fprintf(
		d.cfg.Out,
		"\n  report: %s (and .json, .txt), logs: %s\n",
		filepath.Join(d.cfg.Data, "report.html"),
		filepath.Join(estateFolder(d.cfg.Data), "logs"),
	)
	return err
}
