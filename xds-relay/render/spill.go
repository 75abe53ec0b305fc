package render

import "pentad.dev/pentad/federation/model/modelpb"

// overprovisioning is how much more than its share each healthy endpoint of a tier is trusted to carry, as Envoy's
// factor of 140 %: a tier keeps all its traffic until fewer than 100/140 = 71.4 % of it are healthy.
const overprovisioning = 1.4

// spill divides the traffic among tiers in order of preference, as Envoy does among priorities. With the healthy share
// s(t) = ready(t) / all(t) of each tier:
//
//	h(t) = min(1, 1.4 × s(t))              what a tier can take, as a part of the whole
//	total = min(1, Σ h(t))
//	load(t) = min(1 - Σ load before t, h(t) / total)
//
// So the first tier takes all of it while it is 71.4 % healthy; below, each next tier takes what is missing, up to what
// it can; when all together can't take the whole, it is divided in proportion. The loads sum up to 1, or to 0 when
// nothing is ready.
func spill(ready, all []float64) []float64 {
	health := make([]float64, len(all))
	var total float64
	for t := range all {
		if all[t] > 0 {
			health[t] = min(1, overprovisioning*(ready[t]/all[t]))
		}
		total += health[t]
	}
	load := make([]float64, len(all))
	if total == 0 {
		return load
	}
	total = min(1, total)
	left := 1.0
	for t := range load {
		load[t] = min(left, health[t]/total)
		// What rounding leaves is no traffic, and must not draw a tier in.
		if left -= load[t]; left < 1e-9 {
			left = 0
		}
	}
	return load
}

// portion is a group's part of the traffic of one priority.
type portion struct {
	*group
	load float64
}

// priorities arranges the groups so that a data plane that knows only "all of the traffic goes to the first priority
// that can be reached" does what was meant. It returns the portions of each priority, without gaps, and the state of
// the endpoints to use.
//
//   - The live groups that carry load are one priority, the first: each locality has its part as its weight. An address
//     may come only once, so what spills over is not also a priority of its own.
//   - The live groups without load follow, a priority each, then the silent ones: never shared with, never withdrawn.
//   - Nothing ready anywhere in reach: the unhealthy ones are used, in the same order and without spilling. When every
//     health check fails, the check is more often wrong than the endpoints are, and if it is right nothing is lost.
func priorities(groups []*group, broken breakage) ([][]portion, modelpb.EndpointState) {
	var live, silent []*group
	var ready, all []float64
	for _, g := range groups {
		if g.silent {
			silent = append(silent, g)
			continue
		}
		live = append(live, g)
		ready = append(ready, g.sum(func(m *member) float64 { return m.ready }))
		all = append(all, g.sum(func(m *member) float64 { return m.all }))
	}
	var first []portion
	var out [][]portion
	for t, load := range spill(ready, all) {
		if broken.has(breakSpill) && load > 0 {
			out = append(out, []portion{{live[t], 1}})
		} else if load > 0 {
			first = append(first, portion{live[t], load})
		} else if ready[t] > 0 {
			out = append(out, []portion{{live[t], 1}})
		}
	}
	if len(first) > 0 {
		out = append([][]portion{first}, out...)
	}
	for _, g := range silent {
		if g.sum(func(m *member) float64 { return m.ready }) > 0 {
			out = append(out, []portion{{g, 1}})
		}
	}
	if len(out) > 0 {
		return out, modelpb.EndpointState_ENDPOINT_STATE_READY
	}
	for _, g := range groups {
		if g.sum(func(m *member) float64 { return m.unhealthy }) > 0 && !broken.has(breakPanic) {
			out = append(out, []portion{{g, 1}})
		}
	}
	return out, modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY
}
