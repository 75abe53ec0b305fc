//go:build planted

package sim

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// guardsAway has guards out of their relays' reach for less than a permit, and relays start again meanwhile.
func guardsAway(rnd *rand.Rand, length time.Duration) (faults []fault) {
	for at := begins; at < length-settles; at += 5 * time.Second {
		on := clusters[rnd.IntN(len(clusters))]
		faults = append(faults, fault{At: at, For: 8 * time.Second, Kind: noPath, On: relayOf(on), To: "work." + on})
		if rnd.IntN(2) == 0 {
			faults = append(faults, fault{At: at + 500*time.Millisecond, For: 200 * time.Millisecond, Kind: kill, On: relayOf(on)})
		}
	}
	return faults
}

// leadersPass has relays out of reach of all, and meanwhile another leader.
func leadersPass(rnd *rand.Rand, length time.Duration) (faults []fault) {
	for at := begins; at < length-settles; at += 16 * time.Second {
		faults = append(faults, fault{At: at, For: 14 * time.Second, Kind: isolate, On: relayOf(clusters[rnd.IntN(len(clusters))])})
		for after := 3 * time.Second; after < 9*time.Second; after += 2 * time.Second {
			faults = append(faults, fault{At: at + after, For: time.Second, Kind: transfer, On: centers[0]})
		}
	}
	return faults
}

// centersAway has centers cut off with all that is in them.
func centersAway(rnd *rand.Rand, length time.Duration) (faults []fault) {
	for at := begins; at < length-settles; at += 45 * time.Second {
		faults = append(faults, fault{At: at, For: min(40*time.Second, length-settles-at), Kind: isolate, On: clusters[rnd.IntN(len(clusters))]})
	}
	return faults
}

// answersLate has what servers answer relays come late, and nothing behind it.
func answersLate(rnd *rand.Rand, length time.Duration) (faults []fault) {
	for at := begins; at < length-settles-30*time.Second; at += 35 * time.Second {
		on := relayOf(clusters[rnd.IntN(len(clusters))])
		first := 6*time.Second + time.Duration(rnd.Int64N(int64(3*time.Second)))
		gap := 100*time.Millisecond + time.Duration(rnd.Int64N(int64(200*time.Millisecond)))
		for _, to := range centers {
			faults = append(faults, fault{At: at, For: first, Kind: noPath, On: on, To: to},
				fault{At: at + first + gap, For: 20 * time.Second, Kind: noPath, On: on, To: to})
		}
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.At, b.At) })
	return faults
}

// answersLost has leaders cut off for as long as a client waits, and servers start again all the time.
func answersLost(rnd *rand.Rand, length time.Duration) (faults []fault) {
	for at := begins; at < length-settles; at += 2 * time.Second {
		f := fault{At: at, For: 2500 * time.Millisecond, Kind: isolate, On: "leader", To: centers[rnd.IntN(len(centers))]}
		if rnd.IntN(2) == 0 {
			f.Kind, f.On, f.For = kill, f.To, 300*time.Millisecond
		}
		faults = append(faults, f)
	}
	return faults
}

// pathsStall has what hosts say to each other come late, or not at all, all the time.
func pathsStall(rnd *rand.Rand, length time.Duration) (faults []fault) {
	hosts := centers
	for _, c := range clusters {
		hosts = append(append([]string(nil), hosts...), "agent."+c, relayOf(c))
	}
	for at := begins; at < length-settles; at += time.Duration(rnd.Int64N(int64(600 * time.Millisecond))) {
		order := rnd.Perm(len(hosts))
		f := fault{At: at, Kind: noPath, On: hosts[order[0]], To: hosts[order[1]], For: 200*time.Millisecond + time.Duration(rnd.Int64N(int64(4*time.Second)))}
		switch rnd.IntN(12) {
		case 0:
			f.Kind = kill
		case 1:
			f.For += 20 * time.Second
		}
		f.For = min(f.For, length-settles-at)
		faults = append(faults, f)
	}
	return faults
}

// pathsCut has hosts out of each other's reach for long, and servers, agents and relays start again.
func pathsCut(rnd *rand.Rand, length time.Duration) (faults []fault) {
	hosts := centers
	for _, c := range clusters {
		hosts = append(append([]string(nil), hosts...), "agent."+c, relayOf(c))
	}
	for at := begins; at < length-settles; at += time.Duration(rnd.Int64N(int64(4 * time.Second))) {
		order := rnd.Perm(len(hosts))
		f := fault{At: at, Kind: noPath, On: hosts[order[0]], To: hosts[order[1]], For: time.Second + time.Duration(rnd.Int64N(int64(50*time.Second)))}
		if rnd.IntN(3) == 0 {
			f.Kind, f.For = kill, time.Second+f.For/3
		}
		f.For = min(f.For, length-settles-at)
		faults = append(faults, f)
	}
	return faults
}
