package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
)

// keepFor is how long a cluster's endpoints are kept of which nobody hears: shorter than some of what cuts it off.
const keepFor = 20 * time.Second

// longer are cuts that last longer than clusters are kept, and disks of relays that are full for as long.
func longer(seed uint64, length time.Duration) (all []fault) {
	rnd := rand.New(rand.NewPCG(seed, 5))
	happens := func(kind kind, on string) {
		f := fault{Kind: kind, On: on, For: keepFor + 15*time.Second + time.Duration(rnd.Int64N(int64(40*time.Second)))}
		f.At = begins + 10*time.Second + time.Duration(rnd.Int64N(int64(length-settles-begins-f.For-10*time.Second)))
		all = append(all, f)
	}
	anywhere := func() string { return clusters[rnd.IntN(len(clusters))] }
	for range max(1, int(length/(7*time.Minute))) {
		happens(isolate, []string{"", "agent.", "agent."}[rnd.IntN(3)]+anywhere())
	}
	for range length / (10 * time.Minute) {
		happens(fullDisk, relayOf(anywhere()))
	}
	return all
}

// hearings is the oracle of expiry: a cluster expires only if a majority of the voters were there for keepFor and heard
// nothing of it in that time.
type hearings struct {
	mu sync.Mutex
	// signs are when signs of life were given that a server has heard, by server and cluster.
	signs map[[2]string][]time.Duration
	// up are the lives of servers.
	up map[string][]span
	// voters are how many there were.
	voters []counted
}

type span struct {
	number   int
	from, to time.Duration
}

type counted struct {
	at time.Duration
	n  int
}

func newHearings() *hearings {
	return &hearings{signs: map[[2]string][]time.Duration{}, up: map[string][]span{}}
}

// listensEvery is how often it is noted what servers have heard, listenSlack what may be missed so.
const (
	listensEvery = time.Second
	listenSlack  = 2 * listensEvery
)

// listen notes what servers hear until ctx ends.
func (h *hearings) listen(ctx context.Context, e *estate) {
	for ctx.Err() == nil {
		h.mu.Lock()
		for _, name := range e.everyone() {
			if l := e.servers[name].present(); l != nil {
				h.note(e.now(), l)
			}
		}
		if l := e.leader(); l != nil {
			h.voters = append(h.voters, counted{e.now(), len(l.core.Node().Status().Voters)})
		}
		h.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(listensEvery):
		}
	}
}

func (h *hearings) note(now time.Duration, l *life) {
	lives := h.up[l.name]
	if n := len(lives); n == 0 || lives[n-1].number != l.number {
		lives = append(lives, span{number: l.number, from: now})
	}
	lives[len(lives)-1].to = now
	h.up[l.name] = lives
	for _, id := range l.core.Feeds().IDs() {
		cluster, _, ok := model.SplitFeedID(id)
		log, held := l.core.Feeds().Get(id)
		if !ok || !held || log.Position().IsZero() {
			continue
		}
		if age, heard := log.Age(); heard {
			key := [2]string{l.name, cluster}
			h.signs[key] = append(h.signs[key], now-age)
		}
	}
}

// judged sees the command of a leader that has judged who has expired. The oracle's mu is held.
func (h *hearings) judged(o *oracle, command *intentpb.Command) {
	at := time.UnixMilli(command.GetProposedAtUnixMs()).Sub(o.e.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range command.GetSetLiveness().GetClusters() {
		if !c.GetExpired() {
			o.counts["clusters that came back"]++
			continue
		}
		o.counts["clusters that expired"]++
		if say, need := h.silent(c.GetCluster(), at), h.majority(at); say < need {
			o.violates("cluster %s expired at %s: %d servers were there for %s and heard nothing of it, of the %d that it takes",
				c.GetCluster(), at, say, keepFor, need)
		}
	}
}

// silent is how many servers can say that they have not heard of a cluster for keepFor.
func (h *hearings) silent(cluster string, at time.Duration) (n int) {
	for name, lives := range h.up {
		there := slices.ContainsFunc(lives, func(s span) bool {
			return s.from <= at-keepFor+listenSlack && s.to >= at-listenSlack
		})
		heard := slices.ContainsFunc(h.signs[[2]string{name, cluster}], func(g time.Duration) bool {
			return g > at-keepFor+listenSlack && g <= at-listenSlack
		})
		if there && !heard {
			n++
		}
	}
	return n
}

// majority is of as few voters as there were of late.
func (h *hearings) majority(at time.Duration) int {
	fewest := len(centers)
	for _, v := range h.voters {
		if v.at >= at-15*time.Second && v.at <= at+listenSlack {
			fewest = min(fewest, v.n)
		}
	}
	return fewest/2 + 1
}

// judges decodes what is looked at in commands. Holders of mu call it, once for each index.
func (o *oracle) judges(index uint64, data []byte, result uint64, after consensus.StateMachine) {
	command, err := intent.Decode(data)
	if err != nil {
		return
	}
	if command.GetSetLiveness() != nil {
		o.e.hearings.judged(o, command)
	}
	if machine, ok := after.(owning); ok && o.e.units {
		state, _, _ := machine.Ownership()
		o.turned(state, command)
	}
	// A command that is proposed again under its id is answered as it was.
	id := string(command.GetId())
	if was, known := o.done[id]; known && was.result != result && index-was.index < answersKept {
		o.violates("the command at index %d was done again at %d", was.index, index)
	}
	o.done[id] = done{index, result}
}

// done is a command that was applied.
type done struct{ index, result uint64 }

// answersKept is fewer than a server keeps.
const answersKept = 4000

// back sees that no cluster stays expired that is heard of, and that all are still declared.
func (e *estate) back() {
	if e.plant.bare {
		return
	}
	within, cancel := context.WithTimeout(context.Background(), settles)
	defer cancel()
	said := ""
	live := await(within, 500*time.Millisecond, func() bool {
		l := e.leader()
		if l == nil {
			return false
		}
		view := l.core.Backend().State().View()
		for _, center := range clusters {
			if _, declared := view.Get(v1alpha1.KindCluster, clusterOf(center)); !declared || view.Expired(clusterOf(center)) {
				said = clusterOf(center)
				return false
			}
		}
		return true
	})
	if !live {
		e.oracle.violated("cluster %s is not back %s after the last fault", said, settles)
	}
}

// The oracle of expiry counts who was there all the time and heard nothing.
func TestWhoCanSayThatAClusterIsSilent(t *testing.T) {
	const at = 100 * time.Second
	for _, c := range []struct {
		name   string
		change func(h *hearings)
		say    int
	}{
		{"nobody heard of it for long", func(*hearings) {}, 5},
		{"two heard of it", func(h *hearings) { h.heard(at-keepFor/2, "hz-a", "sz-a") }, 3},
		{"three heard of it", func(h *hearings) { h.heard(at-keepFor/2, "hz-a", "hz-b", "sz-a") }, 2},
		{"all heard of it before", func(h *hearings) { h.heard(at-keepFor, centers...) }, 5},
		{"one began a while ago", func(h *hearings) { h.up["sh-a"] = []span{{1, 0, 85 * time.Second}, {2, 90 * time.Second, at}} }, 4},
		{"one is gone", func(h *hearings) { h.up["sh-a"] = []span{{1, 0, 85 * time.Second}} }, 4},
	} {
		h := newHearings()
		for _, name := range centers {
			h.up[name] = []span{{1, 0, at}}
		}
		c.change(h)
		if say := h.silent("vm", at); say != c.say {
			t.Errorf("%s: %d can say so, want %d", c.name, say, c.say)
		}
	}
	h := newHearings()
	for n, need := range []int{1, 1, 2, 2, 3, 3} {
		if h.voters = []counted{{at, n}}; n > 0 && h.majority(at) != need {
			t.Errorf("of %d voters %d are a majority, want %d", n, h.majority(at), need)
		}
	}
}

func (h *hearings) heard(at time.Duration, servers ...string) {
	for _, name := range servers {
		key := [2]string{name, "vm"}
		h.signs[key] = append(h.signs[key], at)
	}
}
