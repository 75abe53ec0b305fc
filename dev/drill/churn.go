package drill

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/dev/sample/record"
)

const (
	// arrivesIn bounds the wait for a change at every relay; it is usually some milliseconds.
	arrivesIn = 3 * time.Second
	// togglePause is between two changes.
	togglePause = 60 * time.Millisecond
	// servesFor is how long an added instance takes traffic before it is drained or killed; longer, up to servesIn, if it has
	// taken none yet: nothing is promised of how soon a process starts and its first request comes on a busy machine.
	servesFor = 1500 * time.Millisecond
	servesIn  = 30 * time.Second
	// drainsFor is how long an instance that was taken out is kept running: requests under way end, and one that is sent
	// too late would be seen.
	drainsFor = 1500 * time.Millisecond
)

// What happens to an endpoint.
const (
	added   = "added"
	drained = "drained"
	resumed = "resumed"
	removed = "removed"
	killed  = "killed"
)

// churn changes endpoints for a while: in one strand, instances of the baseline drain and resume one after another,
// each change watched until every relay has told it; in another, instances are started as processes of their own, take
// traffic, and are drained or killed.
func (d *Drill) churn(ctx context.Context) error { return d.churnWithin(ctx, churnFor) }

// churnShortly is churn beside other things.
func (d *Drill) churnShortly(ctx context.Context) error { return d.churnWithin(ctx, shortChurnFor) }

func (d *Drill) churnWithin(ctx context.Context, within time.Duration) error {
	group, ctx := errgroup.WithContext(ctx)
	limit, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	over := func() bool { return limit.Err() != nil }
	group.Go(func() error { return d.toggle(ctx, d.fullPlaces(), over) })
	group.Go(func() error { return d.visitors(ctx, over) })
	if d.cfg.Plant == PlantSpread {
		group.Go(func() error { return d.stumble(ctx, over) })
	}
	err := group.Wait()
	d.expectVisits()
	changes, _ := d.tracker.results()
	d.book.expect("endpoints changed", len(changes) > 0, fmt.Sprintf("%d changes", len(changes)))
	return err
}

func (d *Drill) fullPlaces() []dev.Place {
	var full []dev.Place
	for _, p := range d.site.Estate().Places() {
		if p.Full() {
			full = append(full, p)
		}
	}
	return full
}

// toggle drains the second instance of each service in each of the places and brings it back, until it is over; a
// change that was begun is ended, so that all instances are in place afterwards.
func (d *Drill) toggle(ctx context.Context, places []dev.Place, over func() bool) error {
	for round := 0; ; round++ {
		for _, place := range places {
			if over() {
				return nil
			}
			if !d.whole(place) {
				if err := pause(ctx, togglePause); err != nil {
					return err
				}
				continue
			}
			instances, err := d.site.Instances(place.Center)
			if err != nil {
				return err
			}
			in := second(instances, d.plainServices()[round%len(d.plainServices())])
			for _, what := range []string{drained, resumed} {
				if err := d.change(ctx, place, in, what); err != nil {
					return err
				}
				if err := pause(ctx, togglePause); err != nil {
					return err
				}
			}
		}
	}
}

// whole says whether what carries a center's changes runs: its agent and its workload. Somebody may have ended them.
func (d *Drill) whole(place dev.Place) bool {
	for _, name := range []string{dev.AgentName(place.Center), dev.SampleName(place.Center)} {
		if s, ok := d.site.Supervisor().Status(name); !ok || s.State != dev.StateRunning {
			return false
		}
	}
	return true
}

// times is over after n questions.
func times(n int) (over func() bool) {
	return func() bool { n--; return n < 0 }
}

// second is the second instance of a service.
func second(instances []sample.Instance, service string) sample.Instance {
	var last sample.Instance
	n := 0
	for _, in := range instances {
		if in.Service == service {
			last = in
			if n++; n == 2 {
				break
			}
		}
	}
	return last
}

// change writes one change of an instance into its registry and waits until every relay has told it.
func (d *Drill) change(ctx context.Context, place dev.Place, in sample.Instance, what string) error {
	c, err := d.tracker.begin(change{
		Change:  oracle.Change{Step: d.book.step(), What: what, Service: in.Service, Instance: in.Name},
		address: in.Listen, center: place.Center, in: what == added || what == resumed,
	}, func() (record.Time, error) { return d.register(place, in, what) })
	if err != nil {
		return err
	}
	if !d.tracker.wait(ctx, c, arrivesIn) && ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

// register changes the registry file and notes it.
func (d *Drill) register(place dev.Place, in sample.Instance, what string) (record.Time, error) {
	registry := d.site.Registry(place.Center)
	var at record.Time
	var err error
	switch what {
	case added, resumed:
		at, err = registry.Put(in, dev.Ready)
	case drained:
		at, err = registry.Put(in, dev.Draining)
	case removed:
		at, err = registry.Remove(in)
	}
	if err == nil {
		d.book.register(d.registration(at, place, in, what == added || what == resumed))
	}
	return at, err
}

func (d *Drill) registration(at record.Time, place dev.Place, in sample.Instance, ready bool) oracle.Registration {
	process := dev.SampleName(place.Center)
	if _, own := d.site.Supervisor().Status(visitorName(in.Name)); own {
		process = visitorName(in.Name)
	}
	return oracle.Registration{
		At: at, Service: in.Service, Center: place.Center, Instance: in.Name, Address: in.Listen, Process: process,
		Agent: dev.AgentName(place.Center), Ready: ready,
	}
}

// visitorName is the process of an added instance.
func visitorName(instance string) string { return dev.SampleName(instance) }

// visitors adds instances one after another, in turn over the centers and services; every second one is killed in the
// middle of its work, the others are drained. The last one's life is lived to its end.
func (d *Drill) visitors(ctx context.Context, over func() bool) error {
	places, services := d.fullPlaces(), d.plainServices()
	for n := 0; !over(); n++ {
		place, service := places[n%len(places)], services[n%len(services)]
		if !d.whole(place) {
			if err := pause(ctx, togglePause); err != nil {
				return err
			}
			continue
		}
		name := fmt.Sprintf("%s-%s-x%d", service, place.Center, n+1)
		if err := d.visit(ctx, place, service, name, n%2 == 1); err != nil {
			return err
		}
	}
	return nil
}

// visit is the life of one added instance.
func (d *Drill) visit(ctx context.Context, place dev.Place, service, name string, kill bool) error {
	in, err := d.site.AddInstance(place.Center, service, name)
	if err != nil {
		return err
	}
	process := visitorName(name)
	defer d.site.Supervisor().Forget(process)
	if err := d.site.Supervisor().Start(process); err != nil {
		return err
	}
	defer d.site.Supervisor().Stop(process)
	if err := d.site.WaitReady(ctx, servesIn, process); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.book.note(err.Error())
		d.visited = append(d.visited, visit{name, 0})
		return nil
	}
	d.book.ready(process)
	from := record.Now()
	if err := d.change(ctx, place, in, added); err != nil {
		return err
	}
	if err := pause(ctx, servesFor); err != nil {
		return err
	}
	answers := func() (n int) {
		for _, r := range d.book.since(from, record.Now()) {
			if r.OK() && r.Instance == name {
				n++
			}
		}
		return n
	}
	if _, err := waitUntil(ctx, servesIn, readEvery, func() bool { return answers() > 0 }); err != nil {
		return err
	}
	switch {
	case kill:
		err = d.killVisitor(ctx, place, in)
	case d.cfg.Plant == PlantRemoval:
		d.book.register(d.registration(record.Now(), place, in, false))
		err = pause(ctx, 2*drainsFor)
	default:
		err = d.change(ctx, place, in, drained)
	}
	if err != nil {
		return err
	}
	d.visited = append(d.visited, visit{name, answers()})
	if err := pause(ctx, drainsFor); err != nil {
		return err
	}
	_, err = d.register(place, in, removed)
	return err
}

// visit is an added instance and how many requests it answered.
type visit struct {
	name    string
	answers int
}

func (d *Drill) expectVisits() {
	total, idle := 0, []string{}
	for _, v := range d.visited {
		total += v.answers
		if v.answers == 0 {
			idle = append(idle, v.name)
		}
	}
	detail := fmt.Sprintf("%d instances answered %d requests", len(d.visited), total)
	if len(idle) > 0 {
		detail += fmt.Sprintf(", but %v none", idle)
	}
	d.book.expect("added instances take traffic", len(d.visited) > 0 && len(idle) == 0, detail)
}

// killVisitor kills an instance and waits until health checks have found it and every relay has told it.
func (d *Drill) killVisitor(ctx context.Context, place dev.Place, in sample.Instance) error {
	c, err := d.tracker.begin(change{
		Change:  oracle.Change{Step: d.book.step(), What: killed, Service: in.Service, Instance: in.Name},
		address: in.Listen, center: place.Center, killed: true,
	}, func() (record.Time, error) {
		at := record.Now()
		d.site.Supervisor().Kill(visitorName(in.Name))
		return at, nil
	})
	if err != nil {
		return err
	}
	d.tracker.wait(ctx, c, arrivesIn)
	return nil
}
