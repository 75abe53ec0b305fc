package drill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/record"
)

const (
	// electionIn bounds the wait for a new leader and for a write.
	electionIn = 15 * time.Second
	lookEvery  = 10 * time.Millisecond
	// lossFor is how long a region or the quorum is gone.
	lossFor = 10 * time.Second
	// knownIn is when the loss of the quorum is known to the servers that are left: they give a new leader a chance first,
	// and a write that is sent into that time may have reached a majority or not, which takes long to say.
	knownIn = 4 * time.Second
)

// killLeader kills the server that leads.
func (d *Drill) killLeader(ctx context.Context) error {
	leader, err := d.waitLeader(ctx, "")
	if err != nil {
		return err
	}
	if err := d.elect(ctx, leader, false, func() record.Time {
		at := record.Now()
		d.site.Supervisor().Kill(leader)
		return at
	}); err != nil {
		return err
	}
	return pause(ctx, holdFor)
}

// waitLeader waits for a leader other than one.
func (d *Drill) waitLeader(ctx context.Context, other string) (string, error) {
	var leader string
	found, err := waitUntil(ctx, electionIn, lookEvery, func() bool {
		leader = d.leader(ctx)
		return leader != "" && leader != other
	})
	if err == nil && !found {
		err = fmt.Errorf("no server leads after %s", electionIn)
	}
	return leader, err
}

// elect carries out a leader's death, alone or with its region, and measures what follows.
func (d *Drill) elect(ctx context.Context, leader string, region bool, kill func() record.Time) error {
	d.quickWrites.Store(true)
	defer d.quickWrites.Store(false)
	if err := pause(ctx, writePause); err != nil { // every writer is quick now
		return err
	}
	election := oracle.Election{Step: d.book.step(), Old: strings.TrimPrefix(leader, "server-"), Region: region}
	undo := d.plantSlowElection(leader)
	election.Killed = kill()
	defer undo()
	_, err := waitUntil(ctx, electionIn, lookEvery, func() bool {
		if election.Leader == 0 {
			if next := d.leader(ctx); next != "" && next != leader {
				election.Leader, election.New = record.Now(), strings.TrimPrefix(next, "server-")
			}
		}
		election.Written = d.book.firstWrite(election.Killed)
		return election.Leader != 0 && election.Written != 0
	})
	d.book.election(election)
	d.book.expect(
		"a new leader takes writes",
		err != nil || election.Written != 0,
		fmt.Sprintf("%s after %s", election.New, election.Old),
	)
	return err
}

// noQuorum kills a majority of the servers, all but those of the first centers.
func (d *Drill) noQuorum(ctx context.Context) error {
	places := d.site.Estate().Places()
	var victims []string
	for _, p := range places[len(places)-(len(places)/2+1):] {
		victims = append(victims, dev.ServerName(p.Center))
	}
	d.site.Supervisor().Kill(victims...)
	d.book.note("killed: " + strings.Join(victims, ", "))
	begun := record.Now()

	full := d.fullPlaces()
	before, _ := d.tracker.results()
	// A center without a server of its own, and one with.
	if err := d.toggle(ctx, []dev.Place{full[len(full)-1], full[0]}, times(8)); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	n, reached := 0, 0
	// Clients' own picking sets are read from files.
	_, err := waitUntil(ctx, electionIn, readEvery, func() bool {
		after, _ := d.tracker.results()
		n, reached = len(after)-len(before), 0
		for _, c := range after[len(before):] {
			if len(c.Missing) == 0 {
				reached++
			}
		}
		return reached == n
	})
	if err != nil {
		return err
	}
	d.book.expect(
		"endpoint changes reach every relay without a quorum",
		n > 0 && reached == n,
		fmt.Sprintf("%d of %d changes", reached, n),
	)
	if err := pause(ctx, knownIn-record.Now().Sub(begun)); err != nil {
		return err
	}
	d.refused(ctx)
	if err := pause(ctx, lossFor-record.Now().Sub(begun)); err != nil {
		return err
	}
	if err := d.restore(ctx); err != nil {
		return err
	}
	return d.expectWrites(ctx)
}

// refused tries to write, at a server that lives, and expects a clear answer. One that has still to hear of the loss may
// not know at first what becomes of a write.
func (d *Drill) refused(ctx context.Context) {
	const what = "a write is refused with a clear message"
	var took time.Duration
	var status int
	var message string
	var err error
	_, _ = waitUntil(ctx, electionIn, lookEvery, func() bool {
		took, status, message, err = d.rawWrite(ctx, d.site.API()[0])
		return err == nil && status != http.StatusGatewayTimeout
	})
	if err != nil {
		d.book.expect(what, false, err.Error())
		return
	}
	clear := status == http.StatusServiceUnavailable && strings.Contains(message, "quorum")
	d.book.expect(what, clear, fmt.Sprintf("status %d after %s: %s", status, short(took), message))
}

// expectWrites expects that intent can be written again.
func (d *Drill) expectWrites(ctx context.Context) error {
	from := record.Now()
	found, err := waitUntil(ctx, electionIn, lookEvery, func() bool { return d.book.firstWrite(from) != 0 })
	if err != nil {
		return err
	}
	detail := fmt.Sprintf("none within %s", electionIn)
	if found {
		detail = short(d.book.firstWrite(from).Sub(from)) + " after everything was ready"
	}
	d.book.expect("writes are acknowledged again", found, detail)
	return nil
}

// killRegion kills every process of the first region, to which the traffic of one service was directed before, from
// everywhere: so there is something to lose.
func (d *Drill) killRegion(ctx context.Context) error {
	region := d.site.Estate().Places()[0].Region
	service := d.movedService(1)
	if err := d.movesTo(ctx, service, region); err != nil {
		return err
	}
	victims := d.runningIn(region)
	var killed record.Time
	kill := func() record.Time {
		killed = record.Now()
		d.site.Supervisor().Kill(victims...)
		return killed
	}
	leader := d.leader(ctx)
	if s, ok := d.site.Supervisor().Status(leader); ok && s.Spec.Region == region {
		if err := d.elect(ctx, leader, true, kill); err != nil {
			return err
		}
	} else {
		kill()
	}
	d.book.note(fmt.Sprintf("%d processes of %s killed", len(victims), region))
	elsewhere := func(_, server string) bool { return d.regionOf(server) != region }
	settled, err := d.settledSince(ctx, killed, service, elsewhere)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.book.expect("traffic of "+service+" goes on elsewhere", false, err.Error())
	} else {
		detail := fmt.Sprintf("last answer from %s %s after the kill", region, short(max(0, settled.Sub(killed))))
		d.book.expect("traffic of "+service+" goes on elsewhere", true, detail)
	}
	d.expectGoesOn(killed, service)
	if err := d.expectWrites(ctx); err != nil {
		return err
	}
	if err := pause(ctx, lossFor-record.Now().Sub(killed)); err != nil {
		return err
	}
	if err := d.restore(ctx); err != nil {
		return err
	}
	_, err = d.forget(ctx, service)
	return err
}

// expectGoesOn says how long the surviving clients were without an answer.
func (d *Drill) expectGoesOn(killed record.Time, service string) {
	worst := time.Duration(0)
	for _, client := range d.liveClients() {
		first := record.Time(0)
		for _, r := range d.book.since(killed, record.Now()) {
			if r.Client == client && r.Service == service && r.OK() && (first == 0 || r.End < first) {
				first = r.End
			}
		}
		if first == 0 {
			d.book.expect("every surviving client is answered", false, client+" never was")
			return
		}
		worst = max(worst, first.Sub(killed))
	}
	d.book.expect("every surviving client is answered", true, "the last after "+short(worst))
}

// allBack waits until everything is as in the beginning, and compares.
func (d *Drill) allBack(ctx context.Context, stopWriting func()) error {
	begun := record.Now()
	settled, err := d.settledSince(ctx, begun, "", local)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.book.expect("all traffic is local again", false, err.Error())
	} else {
		d.book.expect("all traffic is local again", true, short(max(0, settled.Sub(begun)))+" after everything was ready")
	}
	if err := pause(ctx, quietFor); err != nil {
		return err
	}
	stopWriting()
	if err := d.plantBeforeComparison(ctx); err != nil {
		return err
	}
	return errors.Join(d.compareHolders(ctx), d.compareFinals(ctx))
}

// convergesIn bounds the wait for equal holders, once nothing is written any more.
const convergesIn = 30 * time.Second

// compareHolders waits until all are equal. Who was ended by somebody else is started again, and compared then.
func (d *Drill) compareHolders(ctx context.Context) error {
	begun := record.Now()
	var holders []oracle.Holder
	var failed error
	_, err := waitUntil(ctx, convergesIn, 100*time.Millisecond, func() bool {
		if failed = d.restore(ctx); failed != nil {
			return true
		}
		holders = d.holders(ctx)
		return oracle.Equal(holders)
	})
	d.book.hold(holders)
	d.book.note(fmt.Sprintf("holders compared %s after the last write", short(record.Now().Sub(begun))))
	return errors.Join(err, failed)
}

// compareFinals asks every server for the writers' objects, again if somebody else ended it meanwhile.
func (d *Drill) compareFinals(ctx context.Context) error {
	var finals map[string]map[string]oracle.Object
	var failed error
	_, err := waitUntil(ctx, convergesIn, 100*time.Millisecond, func() bool {
		if failed = d.restore(ctx); failed == nil {
			finals, failed = d.finals(ctx)
		}
		return failed == nil
	})
	d.book.final(finals)
	if failed != nil {
		failed = fmt.Errorf("final objects: %w", failed)
	}
	return errors.Join(err, failed)
}
