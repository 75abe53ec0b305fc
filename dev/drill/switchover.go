package drill

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/drill/report"
	"pentad.dev/pentad/dev/sample/record"
)

const (
	// plannedIn bounds the wait for a switchover's plan, and for the API that has just lost its leader.
	plannedIn = 15 * time.Second
	// endsIn bounds the wait for a switchover's end.
	endsIn = 30 * time.Second
)

// switchOver makes a switchover, approves its plan, and waits until it has ended.
func (d *Drill) switchOver(ctx context.Context, name string, spec v1alpha1.SwitchoverSpec) error {
	run := oracle.Switchover{Name: name, Step: d.book.step(), Disaster: spec.Mode == v1alpha1.SwitchoverDisaster}
	defer func() { d.book.switchedOver(run) }()
	var made *v1alpha1.Switchover
	err := d.persist(ctx, plannedIn, func(ctx context.Context) (err error) {
		made, err = d.client.Switchovers().Create(ctx, &v1alpha1.Switchover{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec,
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // an attempt whose answer was lost
			made, err = d.client.Switchovers().Get(ctx, name, metav1.GetOptions{})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("switchover %s: %w", name, err)
	}
	run.Moved = movedRanges(made)
	d.book.note(fmt.Sprintf("%s: %s", name, planInWords(made)))
	run.Approved = record.Now()
	d.book.mark(report.MarkPolicy, "", name+" approved")
	err = d.persist(ctx, plannedIn, func(ctx context.Context) error {
		approved, err := d.client.Switchovers().Approve(ctx, name, made.Status.PlanHash)
		if err == nil && approved.Status.Phase == v1alpha1.PhasePlanned {
			err = fmt.Errorf("still %s", approved.Status.Phase)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("approval of %s: %w", name, err)
	}
	ended, err := d.waitSwitchover(ctx, name, &run)
	if err != nil {
		return err
	}
	d.book.mark(report.MarkPolicy, "", fmt.Sprintf("%s: %s", name, ended.Status.Phase))
	d.book.expect("switchover "+name+" is done", ended.Status.Phase == v1alpha1.PhaseDone,
		fmt.Sprintf("%s %s after its approval; %s", ended.Status.Phase, short(record.Now().Sub(run.Approved)), phasesInWords(ended)))
	if ended.Status.Message != "" {
		d.book.note(ended.Status.Message)
	}
	return nil
}

// waitSwitchover watches a switchover to its end.
func (d *Drill) waitSwitchover(ctx context.Context, name string, run *oracle.Switchover) (s *v1alpha1.Switchover, err error) {
	var last error
	found, err := waitUntil(ctx, endsIn, 5*lookEvery, func() bool {
		if s, last = d.client.Switchovers().Get(ctx, name, metav1.GetOptions{}); last != nil {
			return false
		}
		if run.Freeze == 0 {
			run.Freeze = number(s.Status.FreezeEpoch)
		}
		switch s.Status.Phase {
		case v1alpha1.PhaseOpened, v1alpha1.PhaseDone:
			if run.Opened == 0 {
				run.Opened, run.Open = record.Now(), d.openEpoch(ctx, run)
			}
		}
		switch s.Status.Phase {
		case v1alpha1.PhaseDone, v1alpha1.PhaseAborted, v1alpha1.PhaseSuperseded:
			run.Done = record.Now()
			return true
		}
		return false
	})
	switch {
	case err != nil:
		return nil, err
	case !found && last != nil:
		return nil, fmt.Errorf("switchover %s: %w", name, last)
	case !found:
		return nil, fmt.Errorf("switchover %s has not ended after %s: it is %s: %s", name, endsIn, s.Status.Phase, s.Status.Message)
	}
	return s, nil
}

// openEpoch is since when the moved ranges are open: the same epoch for all.
func (d *Drill) openEpoch(ctx context.Context, run *oracle.Switchover) uint64 {
	for _, m := range run.Moved {
		u, err := d.client.Unitizations().Get(ctx, m.Unitization, metav1.GetOptions{})
		if err != nil {
			continue
		}
		for _, r := range u.Status.Ranges {
			if int(r.From) <= m.From && m.From <= int(r.To) {
				return number(r.Since)
			}
		}
	}
	return 0
}

// persist tries until it succeeds, or for so long.
func (d *Drill) persist(ctx context.Context, within time.Duration, try func(context.Context) error) error {
	var last error
	_, err := waitUntil(ctx, within, 5*lookEvery, func() bool {
		attempt, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		last = try(attempt)
		return last == nil
	})
	if err != nil {
		return err
	}
	return last
}

func movedRanges(s *v1alpha1.Switchover) []oracle.MovedRange {
	var moved []oracle.MovedRange
	for _, m := range s.Status.Plan {
		moved = append(moved, oracle.MovedRange{
			Unitization: m.Unitization, From: int(m.From), To: int(m.To), Cells: m.Cells, ToCells: m.ToCells,
		})
	}
	return moved
}

func planInWords(s *v1alpha1.Switchover) string {
	var parts []string
	for _, m := range s.Status.Plan {
		parts = append(parts, fmt.Sprintf("%s %d-%d from %s to %s", m.Unitization, m.From, m.To, strings.Join(m.Cells, ","),
			strings.Join(m.ToCells, ",")))
	}
	return strings.Join(parts, "; ")
}

// phasesInWords is how long each phase took.
func phasesInWords(s *v1alpha1.Switchover) string {
	var parts []string
	for i, h := range s.Status.History {
		if i > 0 {
			parts = append(parts, fmt.Sprintf("%s +%s", h.Phase, short(h.Time.Sub(s.Status.History[i-1].Time.Time))))
		}
	}
	return strings.Join(parts, ", ")
}

func number(decimal string) uint64 {
	n, _ := strconv.ParseUint(decimal, 10, 64) // empty: not yet
	return n
}

// watchMaps notes every version of the ownership maps until ctx ends.
func (d *Drill) watchMaps(ctx context.Context) error {
	seen := map[string]uint64{}
	for ctx.Err() == nil {
		list, err := d.client.Unitizations().List(ctx, metav1.ListOptions{})
		if err != nil {
			_ = pause(ctx, 5*lookEvery)
			continue
		}
		for i := range list.Items {
			d.noteMap(&list.Items[i], seen)
		}
		watch, err := d.client.Unitizations().Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
		if err != nil {
			_ = pause(ctx, 5*lookEvery)
			continue
		}
		for event := range watch.ResultChan() {
			if u, ok := event.Object.(*v1alpha1.Unitization); ok {
				d.noteMap(u, seen)
			}
		}
		watch.Stop()
	}
	return nil
}

func (d *Drill) noteMap(u *v1alpha1.Unitization, seen map[string]uint64) {
	m := oracle.OwnershipMap{At: record.Now(), Unitization: u.Name, Epoch: number(u.Status.Epoch)}
	if m.Epoch <= seen[u.Name] {
		return
	}
	seen[u.Name] = m.Epoch
	for _, r := range u.Status.Ranges {
		m.Ranges = append(m.Ranges, oracle.OwnedRange{
			From: int(r.From), To: int(r.To), Cells: slices.Clone(r.Cells), Frozen: r.State == v1alpha1.RangeFrozen,
			Since: number(r.Since),
		})
	}
	d.book.owned(m)
}
