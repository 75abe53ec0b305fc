package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/drill/report"
	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/process/cut"
)

// unitSteps are the story that Pentad exists for.
func (d *Drill) unitSteps(stopWriting func()) []step {
	victim := d.victim()
	return []step{
		{"steady", "users are served by their units, everybody else at home", d.steadyUnits},
		{"churn", "instances are added, drained and killed", d.churnShortly},
		{"evacuate", "planned: region " + victim + " is left by a Switchover", d.evacuate},
		{"back", "planned: everything returns to the baseline", d.baseline},
		{"leader", "SIGKILL of the Raft leader, in a region that nothing else happens to", d.killQuietLeader},
		{"disaster", "SIGKILL of every process of region " + victim + ", then a Disaster switchover", d.loseRegion},
		{"restart", "region " + victim + " is back, with its old primaries and clients, and takes its units back", d.regionBack},
		{"cut", "the network of region " + victim + " is cut, it lives on; then a Disaster switchover", d.cutRegion},
		{"heal", "the cut heals", d.heal},
		{
			"all back", "everything is at the baseline, all holders are compared",
			func(ctx context.Context) error { return d.allBackAtBaseline(ctx, stopWriting) },
		},
	}
}

// steadyUnits only looks.
func (d *Drill) steadyUnits(ctx context.Context) error {
	return d.expectWritten(ctx, steadyFor, "every shard takes writes")
}

// shardsWritten are those that took writes since then.
func (d *Drill) shardsWritten(from record.Time) map[string]bool {
	seen := map[string]bool{}
	for _, r := range d.book.since(from, record.Now()) {
		if r.WriteID != "" && r.OK() {
			seen[fmt.Sprint(r.Unitization, "/", r.Shard)] = true
		}
	}
	return seen
}

// expectWritten looks on for a while, and longer until each shard has taken a write: how soon one comes hangs on the load
// generators. It expects acknowledged writes for all shards, and says what became of the others.
func (d *Drill) expectWritten(ctx context.Context, within time.Duration, what string) error {
	from, shards := record.Now(), d.shards()
	if err := pause(ctx, within); err != nil {
		return err
	}
	written := func() bool { return len(d.shardsWritten(from)) >= shards }
	if _, err := waitUntil(ctx, writtenIn, readEvery, written); err != nil {
		return err
	}
	seen := d.shardsWritten(from)
	acknowledged, refused, failed := 0, 0, map[string]int{}
	for _, r := range d.book.since(from, record.Now()) {
		if r.WriteID == "" {
			continue
		}
		refused += r.Refused
		if r.OK() {
			acknowledged++
		} else {
			failed[r.Code+" "+r.Reason]++
		}
	}
	detail := fmt.Sprintf("%d writes acknowledged for %d shards, %d refusals on the way", acknowledged, len(seen), refused)
	for reason, n := range failed {
		detail += fmt.Sprintf(", %d failed: %s", n, strings.TrimSpace(reason))
	}
	d.book.expect(what, len(seen) >= shards, detail)
	return nil
}

// writtenIn bounds the wait for a write of each shard.
const writtenIn = 15 * time.Second

func (d *Drill) evacuate(ctx context.Context) error {
	return d.leave(ctx, "evacuate-"+d.victim(), v1alpha1.SwitchoverPlanned, d.victim())
}

// leave moves everything out of a region.
func (d *Drill) leave(ctx context.Context, name string, mode v1alpha1.SwitchoverMode, region string) error {
	err := d.switchOver(ctx, name, v1alpha1.SwitchoverSpec{Mode: mode, Evacuate: &v1alpha1.Evacuation{Region: region}})
	if err != nil {
		return err
	}
	from := record.Now()
	err = d.expectWritten(ctx, holdFor, "every shard takes writes elsewhere")
	d.expectNobodyIn(region, from, record.Now())
	return err
}

// shards are all shards of all Unitizations.
func (d *Drill) shards() (n int) {
	for _, u := range d.site.Estate().Unitizations {
		n += u.Shards
	}
	return n
}

// expectNobodyIn expects that no write was accepted in a region.
func (d *Drill) expectNobodyIn(region string, from, to record.Time) {
	there, all := 0, 0
	for _, r := range d.book.since(from, to) {
		if r.WriteID == "" || !r.OK() {
			continue
		}
		all++
		if d.regionOf(r.Center) == region {
			there++
		}
	}
	d.book.expect("no write is accepted in "+region, there == 0, fmt.Sprintf("%d of %d", there, all))
}

func (d *Drill) baseline(ctx context.Context) error {
	d.baselines++
	err := d.switchOver(ctx, fmt.Sprintf("baseline-%d", d.baselines), v1alpha1.SwitchoverSpec{
		Mode: v1alpha1.SwitchoverPlanned, ReturnToBaseline: true,
	})
	if err != nil {
		return err
	}
	return d.expectWritten(ctx, holdFor, "every shard takes writes at the baseline")
}

// killQuietLeader hands the leadership to the last region, where nothing else happens, and kills it there.
func (d *Drill) killQuietLeader(ctx context.Context) error {
	places := d.site.Estate().Places()
	target := places[len(places)-1].Center
	if err := d.persist(ctx, electionIn, func(ctx context.Context) error {
		return d.client.TransferLeadership(ctx, target)
	}); err != nil {
		return fmt.Errorf("hand the leadership to %s: %w", target, err)
	}
	leads := func() bool { return d.leader(ctx) == dev.ServerName(target) }
	if found, err := waitUntil(ctx, electionIn, lookEvery, leads); err != nil || !found {
		return fmt.Errorf("%s does not lead after %s: %w", target, electionIn, err)
	}
	from := record.Now()
	if err := d.killLeader(ctx); err != nil {
		return err
	}
	refused, raw, all := 0, 0, 0
	for _, r := range d.book.since(from, record.Now()) {
		if r.WriteID == "" {
			continue
		}
		all++
		raw += r.Refused
		if !r.OK() && !r.Open {
			refused++
		}
	}
	d.book.expect("no write fails while there is no leader", refused == 0,
		fmt.Sprintf("%d of %d failed; %d refusals before retries", refused, all, raw))
	return nil
}

// loseRegion kills every process of the first region, and moves its units.
func (d *Drill) loseRegion(ctx context.Context) error {
	region := d.victim()
	victims := d.runningIn(region)
	killed := record.Now()
	d.site.Supervisor().Kill(victims...)
	d.book.note(fmt.Sprintf("%d processes of %s killed", len(victims), region))
	if err := d.leave(ctx, "disaster-"+region, v1alpha1.SwitchoverDisaster, region); err != nil {
		return err
	}
	for _, service := range d.plainServices() {
		d.expectGoesOn(killed, service)
	}
	return nil
}

// regionBack starts the region again, sends writes straight to its old cells and stores, and returns to the baseline.
func (d *Drill) regionBack(ctx context.Context) error {
	if err := d.restore(ctx); err != nil {
		return err
	}
	if err := d.staleClients(ctx); err != nil {
		return err
	}
	return d.baseline(ctx)
}

// cutRegion cuts the first region off, which lives on, and moves its units.
func (d *Drill) cutRegion(ctx context.Context) error {
	region := d.victim()
	if err := d.site.Cut(cut.Between{From: cut.Selector{Region: region}}); err != nil {
		return err
	}
	d.networkCut = true
	d.book.mark(report.MarkPolicy, "", "the network of "+region+" is cut")
	begun := record.Now()
	if err := d.leave(ctx, "cut-"+region, v1alpha1.SwitchoverDisaster, region); err != nil {
		return err
	}
	inside := 0
	late := 0
	for _, r := range d.book.since(begun, record.Now()) {
		if r.WriteID == "" || !r.OK() || d.regionOf(r.Center) != region {
			continue
		}
		inside++
		if r.Start > begun.Add(permitEnds) {
			late++
		}
	}
	d.book.expect("the cut side stops writing by itself", late == 0,
		fmt.Sprintf("%d writes acknowledged there after the cut, %d of them after its permits", inside, late))
	return nil
}

// permitEnds is when a cut-off side has stopped for certain: T, and what the machine may be slow.
const permitEnds = 6 * time.Second

// heal joins the network again, and returns to the baseline.
func (d *Drill) heal(ctx context.Context) error {
	if err := d.site.Heal(); err != nil {
		return err
	}
	d.networkCut = false
	d.book.mark(report.MarkPolicy, "", "the network is whole again")
	if err := d.restore(ctx); err != nil {
		return err
	}
	if err := d.staleClients(ctx); err != nil {
		return err
	}
	return d.baseline(ctx)
}

// allBackAtBaseline waits until all is as declared, and compares.
func (d *Drill) allBackAtBaseline(ctx context.Context, stopWriting func()) error {
	list, err := d.client.Unitizations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		u := &list.Items[i]
		d.book.expect("unitization "+u.Name+" is at its baseline", atBaseline(u), statusInWords(u))
	}
	if err := pause(ctx, quietFor); err != nil {
		return err
	}
	stopWriting()
	return errors.Join(d.compareHolders(ctx), d.compareFinals(ctx), d.owners(ctx))
}

// atBaseline says whether every shard is with the unit and at the cells that the spec declares.
func atBaseline(u *v1alpha1.Unitization) bool {
	for _, unit := range u.Spec.Units {
		var active []string
		for _, c := range unit.Cells {
			if !c.Standby {
				active = append(active, unit.Name+"."+c.Center)
			}
		}
		slices.Sort(active)
		shards := unit.Shards
		if unit.Type == v1alpha1.UnitGlobal {
			shards = []v1alpha1.ShardRange{{}}
		}
		for _, want := range shards {
			for shard := want.From; shard <= want.To; shard++ {
				if !slices.ContainsFunc(u.Status.Ranges, func(r v1alpha1.OwnedRange) bool {
					return r.From <= shard && shard <= r.To && r.Unit == unit.Name && slices.Equal(r.Cells, active) &&
						r.State == v1alpha1.RangeOpen
				}) {
					return false
				}
			}
		}
	}
	return true
}

func statusInWords(u *v1alpha1.Unitization) string {
	var parts []string
	for _, r := range u.Status.Ranges {
		parts = append(parts, fmt.Sprintf("%d-%d %s %s", r.From, r.To, strings.Join(r.Cells, ","), r.State))
	}
	return strings.Join(parts, "; ")
}
