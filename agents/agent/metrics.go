package agent

import "github.com/prometheus/client_golang/prometheus"

// Numbers of each source, read when they are asked for.
var (
	servicesDesc  = describe("services", "Services that the source says.")
	endpointsDesc = describe("endpoints", "Endpoints that the source says, in any state.")
	answeredDesc  = describe("answered", "1 when the source has answered in full since the agent's start.")
	failingDesc   = describe("failing", "1 when the source is read with an error; its report says which.")
)

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("pentad_agent_source_"+name, help, []string{"source"}, nil)
}

// numbers is the agent as a prometheus.Collector.
type numbers struct{ *Agent }

// Describe is prometheus.Collector's.
func (n numbers) Describe(out chan<- *prometheus.Desc) {
	out <- servicesDesc
	out <- endpointsDesc
	out <- answeredDesc
	out <- failingDesc
}

// Collect is prometheus.Collector's.
func (n numbers) Collect(out chan<- prometheus.Metric) {
	one := map[bool]float64{true: 1}
	for _, r := range n.sources {
		s := r.status()
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, r.name)
		}
		gauge(servicesDesc, float64(s.Services))
		gauge(endpointsDesc, float64(s.Endpoints))
		gauge(answeredDesc, one[s.Answered])
		gauge(failingDesc, one[s.Answered && s.Error != ""])
	}
}
