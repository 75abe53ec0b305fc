package serve

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's numbers; types are labelled from a closed list.
type metrics struct {
	streams   prometheus.Gauge
	pushes    *prometheus.CounterVec
	bytes     *prometheus.CounterVec
	nacks     *prometheus.CounterVec
	oversized *prometheus.CounterVec
	missed    *prometheus.CounterVec
	delay     *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "pentad", Subsystem: "xds", Name: name, Help: help},
			[]string{"type"})
	}
	m := &metrics{
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "pentad", Subsystem: "xds", Name: "streams", Help: "Open xDS streams.",
		}),
		pushes:    counter("responses_total", "Responses sent."),
		bytes:     counter("response_bytes_total", "Bytes of responses sent."),
		nacks:     counter("nacks_total", "Responses refused by clients."),
		oversized: counter("oversized_total", "Responses not sent because a client could not receive them."),
		missed: counter("missed_total",
			"First answers of a stream that had to go out older than what its client had shown."),
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "pentad", Subsystem: "xds", Name: "push_delay_seconds",
			Help:    "Time from a commit to the response that carries it, by stream; the oldest commit of a response counts.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 14),
		}, []string{"type"}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.streams), r.Register(m.pushes), r.Register(m.bytes), r.Register(m.nacks),
		r.Register(m.oversized), r.Register(m.missed), r.Register(m.delay))
}

func (m *metrics) pushed(r *response) {
	m.pushes.WithLabelValues(r.kind.label).Inc()
	m.bytes.WithLabelValues(r.kind.label).Add(float64(r.size()))
	if !r.since.IsZero() {
		m.delay.WithLabelValues(r.kind.label).Observe(time.Since(r.since).Seconds())
	}
}
