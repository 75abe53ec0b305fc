package drill

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/drill/probe"
	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/federation/identity"
)

// readEvery is how often the load generators' files are read.
const readEvery = 25 * time.Millisecond

// follow reads the load generators' files until ctx ends.
func (d *Drill) follow(ctx context.Context) error {
	ticker := time.NewTicker(readEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case center := <-d.gone:
			d.clientGone(center)
		case <-ticker.C:
			if err := d.read(); err != nil {
				return err
			}
		}
	}
}

// read takes what is new in the files.
func (d *Drill) read() error {
	readers, err := d.records.Readers()
	if err != nil {
		return err
	}
	for path, r := range readers {
		ended, lines, err := r.Next()
		if err != nil {
			return err
		}
		d.book.requested(ended)
		for _, l := range lines {
			d.clientLine(path, r.Client(), l)
		}
	}
	return nil
}

// clientGone tells the tracker that a load generator died: it sees nothing more.
func (d *Drill) clientGone(center string) {
	for path, client := range d.files {
		if client == center {
			d.tracker.connect(path, center, false)
		}
	}
}

// clientLine takes a line that is about no request. A client is known to the tracker by its file: it lives once.
func (d *Drill) clientLine(path, center string, l record.Line) {
	switch l.What {
	case record.Ready:
		d.clients[path] = &oracle.ClientLife{Center: center, Services: d.services(), Rate: d.rate(), From: l.At}
	case record.Closed:
		if c := d.clients[path]; c != nil {
			c.To = l.At
		}
		d.tracker.connect(path, center, false)
	case record.Opened:
		d.files[path] = l.Client
		d.tracker.connect(path, l.Client, true)
	case record.Applied:
		d.tracker.saw(path, l.Service, l.ID, l.At, l.Addresses)
	}
}

func (d *Drill) services() []string {
	var names []string
	for _, s := range d.site.Estate().Services {
		names = append(names, s.Name)
	}
	return names
}

func (d *Drill) rate() float64 {
	if rate := d.site.Estate().Rate; rate > 0 {
		return rate
	}
	return sample.DefaultRate
}

// clientLives are the load generators' lives, those that were killed ending with their process.
func (d *Drill) clientLives(now record.Time, lives []oracle.Life) []oracle.ClientLife {
	var all []oracle.ClientLife
	for _, c := range d.clients {
		life := *c
		if life.To == 0 {
			life.To = now
			for _, l := range lives {
				if l.Process == dev.LoadName(life.Center) && l.Start <= life.From && l.End != 0 && life.From <= l.End {
					life.To = min(life.To, l.Signal, l.End)
				}
			}
		}
		all = append(all, life)
	}
	slices.SortFunc(all, func(a, b oracle.ClientLife) int {
		return strings.Compare(fmt.Sprint(a.Center, a.From), fmt.Sprint(b.Center, b.From))
	})
	return all
}

// newProbe watches one relay as a data plane of its center.
func (d *Drill) newProbe(place dev.Place, n int, address string) (*probe.Probe, error) {
	name := dev.RelayName(place.Center, n)
	source, err := identity.Load(d.site.Workload(place.Center))
	if err != nil {
		return nil, err
	}
	byName := map[string]string{}
	var names []string
	for _, service := range d.plainServices() { // the others' endpoints are told by cell
		resource := service + ":" + sample.PortName
		byName[resource] = service
		names = append(names, resource)
	}
	return probe.New(probe.Config{
		Relay: address, Node: "probe-" + name, Region: place.Region, Center: place.Center,
		TLS:   source.Client(identity.RoleRelay),
		Names: names, Log: d.cfg.Log,
		Connected: func(on bool) { d.tracker.connect(name, "", on) },
		Update:    func(u probe.Update) { d.tracker.saw(name, byName[u.Name], 0, u.At, u.Addresses) },
	}), nil
}

// served counts good answers that began in [from, to) by client and answering center; a service limits it.
func (d *Drill) served(from, to record.Time, service string) map[string]map[string]int {
	matrix := map[string]map[string]int{}
	for _, r := range d.book.since(from, to) {
		if !r.OK() || service != "" && r.Service != service {
			continue
		}
		if matrix[r.Client] == nil {
			matrix[r.Client] = map[string]int{}
		}
		matrix[r.Client][r.Center]++
	}
	return matrix
}

// settledSince waits until, for a quiet time, every client got all its answers from the service from where want says;
// it returns the beginning of that time, at the earliest begun. It gives up after movesIn.
func (d *Drill) settledSince(
	ctx context.Context,
	begun record.Time,
	service string,
	want func(client, server string) bool,
) (record.Time, error) {
	clients := d.liveClients()
	for {
		if err := pause(ctx, readEvery); err != nil {
			return 0, err
		}
		now := record.Now()
		last := map[string]record.Time{} // per client: the last answer from elsewhere
		good := map[string]int{}
		for _, r := range d.book.since(begun, now) {
			if r.Service != service && service != "" || !r.OK() {
				continue
			}
			if want(r.Client, r.Center) {
				good[r.Client]++
			} else {
				last[r.Client] = max(last[r.Client], r.Start)
			}
		}
		settled := begun
		all := true
		for _, client := range clients {
			settled = max(settled, last[client])
			all = all && good[client] > 0
		}
		if all && now.Sub(settled) >= quietFor {
			return settled, nil
		}
		if now.Sub(begun) > movesIn {
			return 0, fmt.Errorf(
				"after %s clients %v still get answers from elsewhere: %v",
				movesIn,
				clients,
				d.served(now.Add(-quietFor), now, service),
			)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
