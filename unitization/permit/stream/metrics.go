package stream

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// clientCounters are the numbers of a client.
type clientCounters struct{ asks, granted, empty, failed prometheus.Counter }

func newClientCounters(r prometheus.Registerer) *clientCounters {
	return &clientCounters{
		asks:    counter(r, "asks_sent_total", "Asks for permits that were sent."),
		granted: counter(r, "permits_received_total", "Answers that gave a permit."),
		empty:   counter(r, "empty_answers_received_total", "Answers that gave no right, only knowledge."),
		failed:  counter(r, "holds_failed_total", "Streams to a peer that failed."),
	}
}

// serverCounters are the numbers of a server.
type serverCounters struct {
	streams                prometheus.Gauge
	asks, refused, hinting prometheus.Counter
}

func newServerCounters(r prometheus.Registerer) *serverCounters {
	return &serverCounters{
		streams: register(r, prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "pentad", Subsystem: "permit", Name: "streams", Help: "Open streams of holders."})),
		asks:    counter(r, "asks_received_total", "Asks for permits that were received."),
		refused: counter(r, "holds_refused_total", "Streams of holders that were refused or ended with an error."),
		hinting: counter(r, "hints_sent_total", "Hints that were sent."),
	}
}

// rootCounters are the numbers of a root.
type rootCounters struct{ reads, answers, entries, acks prometheus.Counter }

func newRootCounters(r prometheus.Registerer) *rootCounters {
	return &rootCounters{
		reads:   counter(r, "reads_total", "Linearizable reads for answers."),
		answers: counter(r, "answers_total", "Answers to sessions."),
		entries: counter(r, "ack_entries_total", "Entries with acknowledgements that were proposed."),
		acks:    counter(r, "acks_total", "Acknowledgements of freezes that were proposed."),
	}
}

func counter(r prometheus.Registerer, name, help string) prometheus.Counter {
	return register(r, prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "pentad", Subsystem: "permit", Name: name, Help: help,
	}))
}

// register registers with r, which may be nil; shells of one process share what is already there.
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
