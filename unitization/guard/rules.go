package guard

import (
	"log/slog"
	"maps"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/route"
)

// rulesOf are the relay's rules in the terms of package route.
func rulesOf(r *permitpb.RulesResponse) []route.Rules {
	var all []route.Rules
	for _, in := range r.GetRules() {
		out := route.Rules{
			Unitization: in.GetUnitization(), Shards: int(in.GetShards()), Header: in.GetHeader(), Skip: int(in.GetSkipDigits()),
			Overrides: map[string]int{},
		}
		switch in.GetFunction() {
		case permitpb.KeyFunction_KEY_FUNCTION_LAST_DIGITS:
			out.Function = route.LastDigits
		case permitpb.KeyFunction_KEY_FUNCTION_MODULO:
			out.Function = route.Modulo
		}
		for key, shard := range maps.All(in.GetOverrides()) {
			out.Overrides[key] = int(shard)
		}
		for _, s := range in.GetServices() {
			out.Services = append(out.Services, route.Service{Name: s.GetName(), Reads: s.GetReads()})
		}
		all = append(all, out)
	}
	return all
}

// nextTables are those of r, or the known ones, which may be nil: wrong rules change nothing, and a relay that knows of
// no unitization, when others were known, has not yet heard of them.
func nextTables(known *route.Tables, r *permitpb.RulesResponse, log *slog.Logger) *route.Tables {
	if len(r.GetRules()) == 0 && known != nil {
		return known
	}
	tables, err := route.Compile(rulesOf(r))
	if err != nil {
		log.Error("the relay's rules are wrong; the last ones stay in force", "error", err)
		return known
	}
	return tables
}

// refusals counts by reason.
type refusals struct{ frozen, wrongCell, noPermit, badShard atomic.Uint64 }

func (r *refusals) of(reason Reason) *atomic.Uint64 {
	switch reason {
	case Frozen:
		return &r.frozen
	case WrongCell:
		return &r.wrongCell
	case NoPermit:
		return &r.noPermit
	}
	return &r.badShard
}

func (r *refusals) add(reason Reason) { r.of(reason).Add(1) }

// register makes the guard's numbers metrics; they are read, not pushed, so requests pay nothing for them.
func (g *Guard) register(to prometheus.Registerer) {
	if to == nil {
		return
	}
	// Who gives two guards one name sees the first one's numbers only.
	add := func(all ...prometheus.Collector) {
		for _, c := range all {
			_ = to.Register(c)
		}
	}
	labels := prometheus.Labels{"service": g.cfg.Service, "guard": g.cfg.Name}
	for _, reason := range []Reason{Frozen, WrongCell, NoPermit, BadShard} {
		add(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "pentad_guard_refused_total", Help: "Requests refused.",
			ConstLabels: prometheus.Labels{"service": g.cfg.Service, "guard": g.cfg.Name, "reason": string(reason)},
		}, func() float64 { return float64(g.refusals.of(reason).Load()) }))
	}
	add(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "pentad_guard_accepted_total", Help: "Writes let through.", ConstLabels: labels,
		}, func() float64 {
			total := 0.0
			g.Load(func(_ int, n uint64) { total += float64(n) })
			return total
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pentad_guard_in_flight", Help: "Writes let through that have not ended.", ConstLabels: labels,
		}, func() float64 { return float64(g.InFlight()) }),
	)
}
