package vm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// quickest is the first pause after a hard failure; it doubles up to the check's interval.
const quickest = 20 * time.Millisecond

// verdict is what a monitor thinks of its instance from now on.
type verdict struct {
	of      *monitor
	healthy bool
	// why is the last failure of an instance that is not healthy.
	why error
}

// monitor checks one instance by one rule.
type monitor struct {
	check  Check
	target string
	// slots bounds the checks that run at once in the whole source.
	slots chan struct{}
	out   chan<- verdict
	stop  context.CancelFunc
}

// run checks until ctx ends, at once for the first time, and hands on its first verdict and each new one. The first
// check decides alone, as in Envoy: an instance must not wait out thresholds that are there against flapping.
func (m *monitor) run(ctx context.Context) {
	p := newProbe(m.check, m.target)
	defer p.close()
	judge := judge{check: m.check}
	for {
		ok, err := m.ask(ctx, p)
		if !ok {
			return
		}
		if judge.hear(err) {
			select {
			case m.out <- verdict{m, judge.healthy, err}:
			case <-ctx.Done():
				return
			}
		}
		pause := time.NewTimer(judge.pause(err))
		select {
		case <-ctx.Done():
		case <-pause.C:
		case <-p.lost():
		}
		pause.Stop()
	}
}

// ask is one check; not ok: ctx has ended, and the answer means nothing.
func (m *monitor) ask(ctx context.Context, p probe) (ok bool, err error) {
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return false, nil
	}
	bounded, cancel := context.WithTimeoutCause(ctx, m.check.Timeout, fmt.Errorf("no answer within %s", m.check.Timeout))
	defer cancel()
	err = p.ask(bounded)
	if ctx.Err() != nil {
		return false, nil
	}
	if err != nil && bounded.Err() != nil {
		err = fmt.Errorf("%s: %w", m.target, context.Cause(bounded))
	}
	return true, err
}

// judge turns answers into verdicts. It is pure but for the jitter.
type judge struct {
	check   Check
	heard   bool
	healthy bool
	// against counts the answers in a row that contradict the verdict.
	against int
	// quick is the next pause after a hard failure.
	quick time.Duration
}

// hear takes one answer and says whether the verdict is new.
func (j *judge) hear(err error) bool {
	ok := err == nil
	if !j.heard {
		j.heard, j.healthy = true, ok
		return true
	}
	if ok == j.healthy {
		j.against = 0
		return false
	}
	j.against++
	threshold := j.check.Unhealthy
	if ok {
		threshold = j.check.Healthy
	}
	if j.against < threshold {
		return false
	}
	j.against, j.healthy = 0, ok
	return true
}

// pause is the time until the next check. After a hard failure it is short, and doubles: a killed process is known
// within some tens of milliseconds whatever the interval, and one that comes back soon is seen soon.
func (j *judge) pause(err error) time.Duration {
	interval := time.Duration(float64(j.check.Interval) * (0.9 + 0.2*rand.Float64()))
	if !hard(err) {
		j.quick = quickest
		return interval
	}
	pause := max(j.quick, quickest)
	j.quick = 2 * pause
	return min(pause, interval)
}
