package feed

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are the numbers of one shell's streams.
type counters struct {
	frames, rejected prometheus.Counter
	batches, refused *prometheus.CounterVec
}

// newCounters registers with r, which may be nil; shells of one process share what is already there.
func newCounters(r prometheus.Registerer) *counters {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "pentad", Subsystem: "feed", Name: name, Help: help}
	}
	return &counters{
		frames: register(r, prometheus.NewCounter(opts("frames_received_total", "Frames received."))),
		rejected: register(r, prometheus.NewCounter(
			opts("records_rejected_total", "Received records that this process cannot use."))),
		batches: register(r, prometheus.NewCounterVec(
			opts("batches_received_total", "Received batches by how they were judged."), []string{"verdict"})),
		refused: register(r, prometheus.NewCounterVec(
			opts("refusals_total", "Sub-streams closed by this receiver because of what it got."), []string{"reason"})),
	}
}

func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	var there prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &there) {
		if old, ok := there.ExistingCollector.(C); ok {
			return old
		}
	}
	return c
}
