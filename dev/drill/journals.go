package drill

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/dev/sample/record"
)

// owners asks the API, before the estate is stopped, which member of each store takes writes, and which Unitization it is of.
func (d *Drill) owners(ctx context.Context) error {
	d.primaries, d.unitizationOf = map[string]string{}, map[string]string{}
	return d.persist(ctx, electionIn, func(ctx context.Context) error {
		stores, err := d.client.Stores().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, s := range stores.Items {
			d.primaries[s.Name] = s.Status.Primary
		}
		unitizations, err := d.client.Unitizations().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, u := range unitizations.Items {
			for _, unit := range u.Spec.Units {
				if unit.Store != "" {
					d.unitizationOf[unit.Store] = u.Name
				}
			}
		}
		return nil
	})
}

// unitHistory puts together what clients, guards and stores recorded, when nothing of it runs any more.
func (d *Drill) unitHistory(requests []record.Request) (*oracle.UnitHistory, error) {
	u := d.book.units()
	u.Primaries = d.primaries
	for _, r := range requests {
		if r.WriteID == "" {
			continue
		}
		u.Orders = append(u.Orders, oracle.Order{
			Client: r.Client, ID: r.WriteID, Unitization: r.Unitization, Shard: r.Shard, Start: r.Start, End: r.End,
			Acknowledged: r.OK(), Unknown: r.Unknown(), Reason: r.Reason, Refused: r.Refused, Readdressed: r.Readdressed,
		})
	}
	return u, errors.Join(d.readGuards(u), d.readStores(u))
}

// readGuards reads the guards' journals.
func (d *Drill) readGuards(u *oracle.UnitHistory) error {
	journals, err := record.ReadJournals(d.site.Records())
	if err != nil {
		return err
	}
	for _, entries := range journals {
		for _, e := range entries {
			switch e.What {
			case record.Admitted:
				u.Admitted = append(u.Admitted, oracle.Admission{
					At: e.At, Guard: e.Guard, Cell: e.Cell, Unitization: e.Unitization, Shard: e.Shard, Since: e.Since, ID: e.WriteID,
				})
			case record.Door:
				u.Doors = append(u.Doors, oracle.Door{
					At: e.At, Guard: e.Guard, Cell: e.Cell, Unitization: e.Unitization, From: e.From, To: e.To, Since: e.Since,
					Open: e.Open,
				})
			}
		}
	}
	return nil
}

// readStores reads the logs and events of every member of every store.
func (d *Drill) readStores(u *oracle.UnitHistory) error {
	type place struct {
		store string
		token uint64
		index uint64
	}
	taken := map[place]bool{}
	for _, p := range d.fullPlaces() {
		sample, err := d.site.Sample(p.Center)
		if err != nil {
			return err
		}
		for _, l := range sample.Ledgers {
			entries, err := ledger.ReadLog(l.Dir)
			if err != nil {
				return fmt.Errorf("store %s, member %s: %w", l.Store, p.Center, err)
			}
			log := oracle.StoreLog{Store: l.Store, Member: p.Center}
			for _, e := range entries {
				if e.ID == "" {
					continue
				}
				stored := oracle.Stored{
					At: e.AcceptedAt, Store: l.Store, By: e.AcceptedBy, Token: e.Token, Index: e.Index,
					Unitization: d.unitizationOf[l.Store], Shard: e.Shard, ID: e.ID,
				}
				log.Entries = append(log.Entries, stored)
				if at := (place{l.Store, e.Token, e.Index}); !taken[at] {
					taken[at] = true
					u.Stored = append(u.Stored, stored)
				}
			}
			u.Logs = append(u.Logs, log)
			if err := readDoors(u, l.Store, p.Center, l.Dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// readDoors reads when a member took writes.
func readDoors(u *oracle.UnitHistory, store, member, dir string) error {
	events, err := ledger.ReadEvents(dir)
	for _, e := range events {
		if e.What == ledger.Opened || e.What == ledger.Closed {
			u.Doors = append(u.Doors, oracle.Door{
				At: e.At, Store: store, Member: member, Since: e.Token, Open: e.What == ledger.Opened,
			})
		}
	}
	return err
}
