package render

import (
	"slices"
	"strconv"
	"strings"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/model/modelpb"
)

// whereTo is where a call should go, worked out from the ownership map.
func whereTo(u *catalog.Units, c unitCall, v View) outcome {
	if u.Refused != "" {
		return outcome{}
	}
	if len(c.cell) == 1 && u.Cell(c.cell[0]) != nil {
		return outcome{cell: c.cell[0]}
	}
	shard := 0
	if u.Shards > 1 {
		var err error
		if len(c.shard) != 1 {
			return outcome{}
		}
		if shard, err = strconv.Atoi(c.shard[0]); err != nil || shard < 0 || shard >= u.Shards {
			return outcome{}
		}
	}
	var owner catalog.Range
	for _, r := range u.Ranges {
		if shard >= r.From && shard <= r.To {
			owner = r
		}
	}
	read := slices.ContainsFunc(u.Reads, func(m string) bool {
		service, all := strings.CutSuffix(m, "/*")
		return m == c.path || all && strings.HasPrefix(c.path, service+"/")
	})
	best, rank := "", 1<<30
	for _, cell := range u.Cells {
		distance := 20
		if cell.Center == v.Center {
			distance = 0
		} else if cell.Region == v.Region {
			distance = 10
		}
		switch {
		case slices.Contains(owner.Cells, cell.Name) && read:
			distance += 100 // behind any City cell that can be reached as well
		case slices.Contains(owner.Cells, cell.Name):
		case cell.Type == v1alpha1.UnitCity && read:
		default:
			continue
		}
		if r := 1000*wantReach(cell) + distance; r < rank {
			best, rank = cell.Name, r
		}
	}
	if best != "" && owner.Frozen && !read {
		return outcome{frozen: true}
	}
	return outcome{cell: best}
}

func wantReach(cell *catalog.Cell) int {
	best := 3
	for i := range cell.Clusters {
		for e := range cell.Clusters[i].Endpoints("grpc") {
			switch {
			case e.State == modelpb.EndpointState_ENDPOINT_STATE_READY && !cell.Clusters[i].Silent:
				best = min(best, 0)
			case e.State == modelpb.EndpointState_ENDPOINT_STATE_READY:
				best = min(best, 1)
			case e.State == modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY:
				best = min(best, 2)
			}
		}
	}
	return best
}

func addressesOf(cla *endpointv3.ClusterLoadAssignment) map[string]bool {
	out := map[string]bool{}
	for _, l := range cla.GetEndpoints() {
		for _, e := range l.GetLbEndpoints() {
			out[e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress()] = true
		}
	}
	return out
}

func wantAddresses(cell *catalog.Cell) map[string]bool {
	usable := modelpb.EndpointState_ENDPOINT_STATE_READY
	if wantReach(cell) == 2 {
		usable = modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY
	}
	out := map[string]bool{}
	for i := range cell.Clusters {
		for e := range cell.Clusters[i].Endpoints("grpc") {
			if e.State == usable {
				out[e.Address.String()] = true
			}
		}
	}
	return out
}
