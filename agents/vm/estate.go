package vm

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"time"

	"pentad.dev/pentad/agents/source"
	"pentad.dev/pentad/federation/model/modelpb"
)

// estate is what one Run holds: the file's services, what the checks say of their instances, and the records of both.
// It belongs to Run's goroutine.
type estate struct {
	ctx      context.Context
	cfg      Config
	broken   breakage
	since    *source.Since
	table    *source.Table
	services map[string]*exported
	slots    chan struct{}
	verdicts chan verdict
	monitors sync.WaitGroup

	// loaded: a good file was read. answered: the whole set was handed over.
	loaded, answered bool
	// unknown are the instances that are not published because their first check is not over.
	unknown map[*running]struct{}
	// byMonitor finds the instance of a verdict; a monitor that was stopped is in it no more.
	byMonitor map[*monitor]*running
	// born counts the instances there ever were.
	born int
}

type exported struct {
	instances []*running // in the file's order
}

// running is an instance and what is known of it.
type running struct {
	*Instance
	service string
	id      string   // in the table
	monitor *monitor // nil: not checked
	judged  bool     // by this monitor
	healthy bool
	why     error
	// published is the state in the table, if there is one.
	published bool
	state     modelpb.EndpointState
}

func newEstate(ctx context.Context, cfg Config, broken breakage, since *source.Since) *estate {
	return &estate{
		ctx: ctx, cfg: cfg, broken: broken, since: since,
		table: source.NewTable(), services: map[string]*exported{},
		slots: make(chan struct{}, cfg.Checks), verdicts: make(chan verdict),
		unknown: map[*running]struct{}{}, byMonitor: map[*monitor]*running{},
	}
}

// wait returns when every monitor has stopped; ctx must have ended.
func (e *estate) wait() { e.monitors.Wait() }

// apply makes the file's content what holds.
func (e *estate) apply(r *Registry) {
	e.loaded = true
	gone := maps.Clone(e.services)
	for _, s := range r.Services {
		have := gone[s.Name]
		delete(gone, s.Name)
		if have == nil {
			have = &exported{}
			e.services[s.Name] = have
		}
		message := &modelpb.Service{Name: s.Name, CreatedUnixMs: e.since.UnixMs(s.Name, time.Now())}
		for _, p := range s.Ports {
			message.Ports = append(message.Ports, &modelpb.Port{Name: p.Name, Number: p.Number, Protocol: p.Protocol})
		}
		e.table.PutService(message)
		e.instances(have, s)
	}
	for name, s := range gone {
		for _, i := range s.instances {
			e.remove(i)
		}
		delete(e.services, name)
		e.table.DeleteService(name)
		e.since.Forget(name)
	}
}

// instances brings one service's instances to what the file says. An instance is who listens at an address and port: it
// is the same as long as it keeps one of them, whatever its name, so a rename or one more port interrupts nobody.
func (e *estate) instances(have *exported, s *Service) {
	old := map[netip.AddrPort]*running{}
	for _, i := range have.instances {
		for _, at := range i.listens() {
			old[at] = i
		}
	}
	all, kept := make([]*running, len(s.Instances)), map[*running]bool{}
	for n, w := range s.Instances {
		for _, at := range w.listens() {
			if i := old[at]; i != nil && !kept[i] {
				all[n], kept[i] = i, true
				break
			}
		}
	}
	for _, i := range have.instances {
		if !kept[i] {
			e.remove(i)
		}
	}
	for n, w := range s.Instances {
		if all[n] == nil {
			e.born++
			all[n] = &running{service: s.Name, id: fmt.Sprintf("%010d", e.born)}
		}
		all[n].Instance = w
		e.check(all[n], s.Check)
		e.put(all[n])
	}
	have.instances = all
}

// check starts, keeps or stops an instance's monitor.
func (e *estate) check(i *running, c *Check) {
	wanted := c != nil && !i.Draining
	target := ""
	if wanted {
		target = i.at(c.Port).String()
	}
	if i.monitor != nil && (!wanted || i.monitor.check != *c || i.monitor.target != target) {
		e.unmonitor(i)
	}
	if !wanted || i.monitor != nil {
		return
	}
	ctx, cancel := context.WithCancel(e.ctx)
	m := &monitor{check: *c, target: target, slots: e.slots, out: e.verdicts, stop: cancel}
	i.monitor, e.byMonitor[m] = m, i
	e.monitors.Go(func() { m.run(ctx) })
}

func (e *estate) unmonitor(i *running) {
	i.monitor.stop()
	delete(e.byMonitor, i.monitor)
	i.monitor, i.judged, i.why = nil, false, nil
}

func (e *estate) remove(i *running) {
	if i.monitor != nil {
		e.unmonitor(i)
	}
	delete(e.unknown, i)
	e.table.DeleteEndpoint(i.service, i.id)
}

// hear takes a monitor's verdict.
func (e *estate) hear(v verdict) {
	i := e.byMonitor[v.of]
	if i == nil {
		return // the instance has gone, or is checked by another rule now
	}
	if first := !i.judged; first || i.healthy != v.healthy {
		level := e.cfg.Log.Info
		if !v.healthy {
			level = e.cfg.Log.Warn
		}
		level("instance checked", "service", i.service, "instance", i.Name, "healthy", v.healthy, "error", v.why)
	}
	i.judged, i.healthy, i.why = true, v.healthy, v.why
	e.put(i)
}

// put states an instance in the table. One that is checked keeps the state it has, or stays away, until its monitor has
// spoken: neither a new instance nor one that stops draining takes traffic unchecked.
func (e *estate) put(i *running) {
	state := i.state
	switch {
	case i.Draining:
		state = modelpb.EndpointState_ENDPOINT_STATE_DRAINING
	case i.monitor == nil, i.judged && i.healthy, e.broken.unchecked && !i.judged:
		state = modelpb.EndpointState_ENDPOINT_STATE_READY
	case i.judged:
		state = modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY
	case !i.published:
		e.unknown[i] = struct{}{}
		return
	}
	delete(e.unknown, i)
	i.state, i.published = state, true
	if e.broken.dropDraining && i.Draining {
		e.table.DeleteEndpoint(i.service, i.id)
		return
	}
	e.table.PutUnitEndpoint(i.service, i.Unit, i.id, i.Ports,
		&modelpb.Endpoint{Address: i.Address, State: state, Weight: i.Weight})
}

// publish hands over what is new. The first time that is the whole set, and not before every instance's first check is
// over: an instance that is only not known yet would read as one that has gone.
func (e *estate) publish(out source.Sink) error {
	if !e.loaded || !e.answered && len(e.unknown) > 0 {
		return nil
	}
	if err := e.since.Save(); err != nil {
		return err
	}
	hand, read := out.Apply, e.table.Changes
	if !e.answered {
		hand, read = out.Replace, e.table.Whole
	}
	changes, err := read()
	if err != nil || e.answered && len(changes) == 0 {
		return err
	}
	e.answered = true
	return hand(changes)
}
