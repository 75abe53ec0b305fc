package drill

import (
	"context"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/dev"
)

// The plants: real faults, made behind the drill's own back, to see that its verdict finds them.

// stumble pauses one relay after another for a moment, until it is over.
func (d *Drill) stumble(ctx context.Context, over func() bool) error {
	for !over() {
		for _, name := range d.site.Supervisor().Names(dev.RoleRelay) {
			d.site.Supervisor().Signal(name, syscall.SIGSTOP)
			err := pause(ctx, 400*time.Millisecond)
			d.site.Supervisor().Signal(name, syscall.SIGCONT)
			if err == nil {
				err = pause(ctx, 400*time.Millisecond)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// starve empties the registry files of a service, unrecorded, for some seconds.
func (d *Drill) starve(ctx context.Context) error {
	service := d.plainServices()[0]
	for _, put := range []bool{false, true} {
		for _, place := range d.fullPlaces() {
			instances, err := d.site.Instances(place.Center)
			if err != nil {
				return err
			}
			for _, in := range instances {
				switch {
				case in.Service != service:
				case put:
					_, err = d.site.Registry(place.Center).Put(in, dev.Ready)
				default:
					_, err = d.site.Registry(place.Center).Remove(in)
				}
				if err != nil {
					return err
				}
			}
		}
		if err := pause(ctx, 2*d.cfg.Bounds.Starved); err != nil {
			return err
		}
	}
	return nil
}

// plantSlowElection pauses so many servers that there is no majority once the leader is dead, and brings them back
// later.
func (d *Drill) plantSlowElection(leader string) (undo func()) {
	if d.cfg.Plant != PlantWrite {
		return func() {}
	}
	var paused []string
	servers := d.running(dev.RoleServer)
	for _, name := range servers {
		if name != leader && len(servers)-1-len(paused) > len(d.site.Estate().Places())/2 {
			d.site.Supervisor().Signal(name, syscall.SIGSTOP)
			paused = append(paused, name)
		}
	}
	later := time.AfterFunc(d.cfg.Bounds.Write+time.Second, func() {
		for _, name := range paused {
			d.site.Supervisor().Signal(name, syscall.SIGCONT)
		}
	})
	return func() { later.Stop(); later.Reset(0) }
}

// plantBeforeComparison makes what the final comparison must find.
func (d *Drill) plantBeforeComparison(ctx context.Context) error {
	switch d.cfg.Plant {
	case PlantLost:
		return d.client.ServicePolicies().Delete(ctx, writerName(0), metav1.DeleteOptions{})
	case PlantUnequal:
		relays := d.site.Supervisor().Names(dev.RoleRelay)
		d.site.Supervisor().Signal(relays[len(relays)-1], syscall.SIGSTOP)
		return d.toggle(ctx, d.fullPlaces()[:1], times(1))
	}
	return nil
}
