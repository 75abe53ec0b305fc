package sim

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// writer is a cluster's registry, and the agent that publishes what is in it.
type writer struct {
	*estate
	center  string
	cluster string
	id      *identity.Source
	feed    feed.ID
	rnd     *rand.Rand

	// What survives the agent: the registry, and the last incarnation that was used.
	mu       sync.Mutex
	registry map[string][]byte
	used     uint64
}

const (
	services = 6
	// changesEvery is the mean time between two changes of a registry.
	changesEvery = 3 * time.Second
)

func clusterOf(center string) string { return center + "-vm" }

func (e *estate) newWriter(center string, relays []feed.Peer) *program {
	w := &writer{
		estate: e, center: center, cluster: clusterOf(center), registry: map[string][]byte{},
		rnd: rand.New(rand.NewPCG(e.seed, 200+uint64(slices.Index(centers, center)))),
	}
	w.id, w.feed = e.issue(e.authority, identity.RoleAgent, w.cluster), model.FeedID(w.cluster, "static")
	return e.addProgram("agent."+center, regions[center], func(p *endpoint, _ string) (func(context.Context) error, error) {
		return w.begin(p, e.peers(center, w.id), relays)
	})
}

// peers are the servers, nearest first.
func (e *estate) peers(center string, id *identity.Source) []feed.Peer {
	var peers []feed.Peer
	for _, name := range nearest(center) {
		peers = append(peers, feed.Peer{Name: name, Address: name + ":2", TLS: id.Client(identity.RoleServer)})
	}
	return peers
}

func nearest(center string) []string {
	all := slices.Clone(centers)
	rank := func(c string) int {
		switch {
		case c == center:
			return 0
		case regions[c] == regions[center]:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	return all
}

func (w *writer) begin(p *endpoint, servers, relays []feed.Peer) (func(context.Context) error, error) {
	set, err := feed.OpenSet("", feed.Options{Log: w.log})
	if err != nil {
		return nil, err
	}
	log := set.Log(w.feed)
	reports := set.Log(model.ReportsFeed(w.cluster))
	publisher, err := feed.NewPublisher(feed.PublisherConfig{
		Set: set, One: servers, Each: relays, Dialer: p.dial, Log: w.log.With("agent", w.cluster),
		OnAhead: func(id feed.ID, _ feed.Position) {
			if id == w.feed {
				w.takeOver(log)
			} else {
				w.beginReports(reports)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	drive := func(ctx context.Context) error { return nil }
	if w.units {
		w.beginReports(reports)
		if drive, err = w.drive(p, w.center, reports); err != nil {
			return nil, err
		}
	}
	w.takeOver(log)
	return func(ctx context.Context) error {
		var group sync.WaitGroup
		group.Go(func() { _ = set.Run(ctx) })
		group.Go(func() { _ = publisher.Run(ctx) })
		group.Go(func() { _ = drive(ctx) })
		pauses := rand.New(rand.NewPCG(w.seed, uint64(w.now())))
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(pauses.Int64N(int64(2 * cmp.Or(w.plant.changes, changesEvery))))):
				if !w.settling() {
					w.change(log)
				}
			}
		}
		group.Wait()
		return nil
	}, nil
}

// takeOver begins the feed anew, under an incarnation above all that were heard of, with all that is in the registry.
func (w *writer) takeOver(log *feed.Log) {
	f := w.oracle.feeds
	f.mu.Lock()
	defer f.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		heard := log.Highest().Incarnation
		incarnation := feed.NextIncarnation(time.Now().Add(w.skew()).UnixMilli(), w.used, heard, w.rnd.Uint64())
		if w.plant.reuseIncarnation && w.used != 0 {
			if heard != 0 {
				return // and deaf to those who hold more
			}
			incarnation = w.used
		}
		w.used = incarnation
		at, err := log.Begin(incarnation, w.whole())
		if err != nil {
			continue // a reader stated something higher in between
		}
		f.wrote(w.feed, at, w.sum())
		w.oracle.count("incarnations of feeds")
		return
	}
}

func (w *writer) whole() (changes []feed.Change) {
	for _, key := range slices.Sorted(maps.Keys(w.registry)) {
		changes = append(changes, feed.Change{Kind: model.KindService, Key: key, Value: slices.Clone(w.registry[key])})
	}
	return changes
}

func (w *writer) sum() (sum uint64) {
	for key, value := range w.registry {
		sum ^= recordSum(model.KindService, key, value)
	}
	return sum
}

// change changes some services at once.
func (w *writer) change(log *feed.Log) {
	f := w.oracle.feeds
	f.mu.Lock()
	defer f.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	var changes []feed.Change
	for range 1 + w.rnd.IntN(3) {
		change := feed.Change{Kind: model.KindService, Key: fmt.Sprint("service-", w.rnd.IntN(cmp.Or(w.plant.services, services)))}
		if w.rnd.IntN(3) > 0 {
			value, err := model.Encode(&modelpb.Service{
				Name: change.Key, Ports: []*modelpb.Port{{Name: "grpc", Number: 1 + uint32(w.rnd.IntN(60000))}},
			})
			w.check(err)
			w.registry[change.Key], change.Value = value, slices.Clone(value)
		} else {
			delete(w.registry, change.Key)
		}
		changes = append(changes, change)
	}
	at, err := log.Commit(changes...)
	w.check(err)
	f.wrote(w.feed, at, w.sum())
	w.oracle.count("changes of registries")
}

// beginReports begins the feed with what the agent reports anew: what it says of stores it says again.
func (w *writer) beginReports(log *feed.Log) {
	f := w.oracle.feeds
	f.mu.Lock()
	defer f.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	var whole []feed.Change
	for r := range log.All() {
		whole = append(whole, feed.Change{Kind: r.Kind, Key: r.Key, Value: r.Value})
	}
	for {
		w.used = feed.NextIncarnation(time.Now().Add(w.skew()).UnixMilli(), w.used, log.Highest().Incarnation, w.rnd.Uint64())
		if at, err := log.Begin(w.used, whole); err == nil {
			f.wrote(log.ID(), at, logSum(log))
			return
		}
	}
}

// report is what the agent says of stores.
func (w *writer) report(log *feed.Log) func(string, *modelpb.StoreReport) error {
	return func(store string, report *modelpb.StoreReport) error {
		change := feed.Change{Kind: model.KindStoreReport, Key: store}
		if report != nil {
			var err error
			if change.Value, err = model.Encode(report); err != nil {
				return err
			}
		}
		f := w.oracle.feeds
		f.mu.Lock()
		defer f.mu.Unlock()
		at, err := log.Commit(change)
		if err == nil {
			f.wrote(log.ID(), at, logSum(log))
		}
		return err
	}
}

func logSum(log *feed.Log) (sum uint64) {
	for r := range log.All() {
		sum ^= recordSum(r.Kind, r.Key, r.Value)
	}
	return sum
}
