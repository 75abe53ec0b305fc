package drill

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/sample/record"
)

const (
	drawEvery = 500 * time.Millisecond
	lineEvery = 5 * time.Second
	// window is what the table sums up.
	window = 2 * time.Second
	// lastMarks is how many events the table tells.
	lastMarks = 6
)

// ANSI sequences.
const (
	clearBelow = "\x1b[J"
	bold       = "\x1b[1m"
	red        = "\x1b[31m"
	faint      = "\x1b[2m"
	plain      = "\x1b[0m"
)

// screen is where single lines go, which a table on a terminal does not bear beside itself.
type screen struct {
	out   io.Writer
	table atomic.Bool
}

func (s *screen) Write(p []byte) (int, error) {
	if s.table.Load() {
		return len(p), nil
	}
	return s.out.Write(p)
}

// terminal says whether Out can show a table.
func (d *Drill) terminal() bool {
	file, ok := d.cfg.Out.(*os.File)
	return ok && !d.cfg.Plain && term.IsTerminal(int(file.Fd()))
}

// startTable shows what goes on until ctx ends; the returned function waits for its end.
func (d *Drill) startTable(ctx context.Context) (wait func()) {
	var shown sync.WaitGroup
	shown.Go(func() {
		if d.terminal() {
			d.screen.table.Store(true)
			defer d.screen.table.Store(false)
			d.table(ctx)
		} else {
			d.plainLines(ctx)
		}
	})
	return shown.Wait
}

// table redraws in place.
func (d *Drill) table(ctx context.Context) {
	ticker := time.NewTicker(drawEvery)
	defer ticker.Stop()
	drawn := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			text := d.draw()
			if drawn > 0 {
				fmt.Fprintf(d.cfg.Out, "\x1b[%dA\r", drawn)
			}
			fmt.Fprint(d.cfg.Out, clearBelow, text)
			drawn = strings.Count(text, "\n")
		}
	}
}

// plainLines says each step, and now and then how it goes.
func (d *Drill) plainLines(ctx context.Context) {
	ticker := time.NewTicker(drawEvery)
	defer ticker.Stop()
	said, last := 0, time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s := d.summary()
			if s.step != said {
				said, last = s.step, time.Now()
				fmt.Fprintf(d.cfg.Out, "step %d, %s: %s\n", s.step, s.name, s.what)
			} else if time.Since(last) >= lineEvery {
				last = time.Now()
				fmt.Fprintf(d.cfg.Out, "  %5.1f s  %d requests, %d failed, %d processes dead\n",
					s.at.Seconds(), s.requests, s.failed, len(s.dead))
			}
		}
	}
}

// summary is the drill at a glance.
type summary struct {
	step             int
	name, what       string
	at               time.Duration
	requests, failed int
	dead             []string
}

func (d *Drill) summary() summary {
	s := d.book.summary()
	s.at, s.dead = record.Now().Sub(d.began), d.site.Supervisor().NotRunning()
	return s
}

func (b *book) summary() summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := summary{requests: len(b.history.Requests)}
	for _, r := range b.history.Requests {
		if !r.OK() {
			s.failed++
		}
	}
	if n := len(b.spans); n > 0 {
		s.step, s.name, s.what = b.spans[n-1].Number, b.spans[n-1].Name, b.spans[n-1].What
	}
	return s
}

// draw is the table as text.
func (d *Drill) draw() string {
	var b strings.Builder
	s := d.summary()
	now := record.Now()
	fmt.Fprintf(&b, "\n%sstep %d  %s%s  %s%s%s\n", bold, s.step, s.name, plain, faint, s.what, plain)
	fmt.Fprintf(&b, "%6.1f s  %d requests, %d failed\n\n", s.at.Seconds(), s.requests, s.failed)

	centers := d.fullPlaces()
	fmt.Fprintf(
		&b,
		"  %-10s %-8s %-28s %8s %7s %8s %8s   served by\n",
		"region",
		"center",
		"processes",
		"req/s",
		"failed",
		"p50 ms",
		"p99 ms",
	)
	recent := d.book.since(now.Add(-window), now)
	for _, p := range centers {
		var times []time.Duration
		failed := 0
		by := map[string]int{}
		for _, r := range recent {
			switch {
			case r.Client != p.Center:
			case r.OK():
				times = append(times, r.End.Sub(r.Start))
				by[r.Center]++
			default:
				failed++
			}
		}
		slices.Sort(times)
		fails := fmt.Sprintf("%7d", failed)
		if failed > 0 {
			fails = red + fails + plain
		}
		fmt.Fprintf(
			&b,
			"  %-10s %-8s %s %8.0f %s %8.1f %8.1f   %s\n",
			p.Region,
			p.Center,
			d.lights(p),
			float64(len(times)+failed)/window.Seconds(),
			fails,
			percentile(times, 0.5),
			percentile(times, 0.99),
			servedBy(centers, by),
		)
	}
	b.WriteByte('\n')
	for _, m := range d.book.lastMarks(lastMarks) {
		fmt.Fprintf(&b, "  %s%6.1f s  %s%s\n", faint, m.At.Sub(d.began).Seconds(), m.Text, plain)
	}
	return b.String()
}

// lights show a center's processes: a letter for one that runs, a red x for one that does not.
func (d *Drill) lights(p dev.Place) string {
	var b strings.Builder
	width := 0
	for _, name := range d.site.Supervisor().Names() {
		s, ok := d.site.Supervisor().Status(name)
		if !ok || s.Spec.Center != p.Center {
			continue
		}
		if s.State == dev.StateRunning {
			b.WriteString(strings.ToUpper(string(s.Spec.Role[:1])) + string(s.Spec.Role[1:2]) + " ")
		} else {
			b.WriteString(red + "xx " + plain)
		}
		width += 3
	}
	return b.String() + strings.Repeat(" ", max(0, 28-width))
}

func servedBy(centers []dev.Place, by map[string]int) string {
	total := 0
	for _, n := range by {
		total += n
	}
	var parts []string
	for _, c := range centers {
		if n := by[c.Center]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d%%", c.Center, (100*n+total/2)/total))
		}
	}
	return strings.Join(parts, "  ")
}

func percentile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(int(share*float64(len(sorted))), len(sorted)-1)].Microseconds()) / 1000
}
