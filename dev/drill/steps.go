package drill

import (
	"context"
	"fmt"
	"time"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/sample/record"
)

// How long things take. All in all about two minutes.
const (
	steadyFor = 10 * time.Second
	churnFor  = 35 * time.Second
	// shortChurnFor is for stories that are about something else.
	shortChurnFor = 10 * time.Second
	holdFor       = 5 * time.Second // what a step shows is shown for so long
	quietFor      = time.Second
	movesIn       = 8 * time.Second // traffic follows a policy within this
	restoresIn    = 90 * time.Second
)

// step is one step of the drill. Its error says that it could not do what it is for; the drill goes on with the next.
type step struct {
	name, what string
	run        func(context.Context) error
}

// steps runs all steps. stopWriting ends the writer before the final comparison. The error says why the drill could not
// go on.
func (d *Drill) steps(ctx context.Context, stopWriting func()) error {
	for i, s := range d.story(stopWriting) {
		d.book.begin(i+1, s.name, s.what)
		err := s.run(ctx)
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		if err != nil {
			d.book.expect("the step came to its end", false, err.Error())
		}
		if err := d.restore(ctx); err != nil {
			if ctx.Err() != nil {
				return ErrInterrupted
			}
			return fmt.Errorf("after step %d (%s): %w", i+1, s.name, err)
		}
	}
	return nil
}

// restore starts again what a step, or somebody else, killed. Behind a cut nothing becomes ready: that waits until it heals.
func (d *Drill) restore(ctx context.Context) error {
	if d.networkCut {
		return nil
	}
	dead := d.site.Supervisor().NotRunning()
	if len(dead) == 0 {
		return nil
	}
	begun := record.Now()
	ctx, cancel := context.WithTimeout(ctx, restoresIn)
	defer cancel()
	if err := d.up(ctx); err != nil {
		return fmt.Errorf("start %v again: %w", dead, err)
	}
	d.book.note(fmt.Sprintf("%d processes started again, all ready after %s", len(dead), short(record.Now().Sub(begun))))
	return nil
}

// steady only looks.
func (d *Drill) steady(ctx context.Context) error {
	from := record.Now()
	if err := pause(ctx, steadyFor); err != nil {
		return err
	}
	if d.cfg.Plant == PlantStarved {
		return d.starve(ctx)
	}
	d.expectLocal(from, record.Now())
	return nil
}

// expectLocal expects that every client was served in its own center.
func (d *Drill) expectLocal(from, to record.Time) {
	elsewhere, all := 0, 0
	for client, servers := range d.served(from, to, "") {
		for server, n := range servers {
			all += n
			if server != client {
				elsewhere += n
			}
		}
	}
	d.book.expect(
		"all traffic is local",
		all > 0 && elsewhere == 0,
		fmt.Sprintf("%d of %d answers came from another center", elsewhere, all),
	)
}

// fullCenters are the centers with clients, whose load generators run.
func (d *Drill) liveClients() []string {
	var centers []string
	for _, name := range d.running(dev.RoleLoad) {
		if s, ok := d.site.Supervisor().Status(name); ok {
			centers = append(centers, s.Spec.Center)
		}
	}
	return centers
}

func (d *Drill) regionOf(center string) string {
	for _, p := range d.site.Estate().Places() {
		if p.Center == center {
			return p.Region
		}
	}
	return ""
}

// short is a duration for people.
func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
