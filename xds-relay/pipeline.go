package relay

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/xds-relay/render"
)

const (
	// defaultSilentAfter is how long nothing may be heard of a cluster's writer before its endpoints are demoted.
	defaultSilentAfter = 5 * time.Second
	// judgeEvery is how often liveness and readiness are looked at.
	judgeEvery = 250 * time.Millisecond
)

// knowledge is what upstream holds.
type knowledge interface {
	Set() *feed.Set
	// Ready is nil once it may be rendered.
	Ready() error
}

// pipeline brings what upstream holds through catalog and render into the feed of resources. One goroutine runs it.
type pipeline struct {
	upstream    knowledge
	resources   *feed.Log
	silentAfter time.Duration
	log         *slog.Logger

	mu       sync.Mutex // guards what follows: the status page reads it, too
	catalog  *catalog.Catalog
	renderer *render.Renderer
	cursors  map[feed.ID]*feed.Cursor
	silent   map[string]bool
	started  time.Time
	begun    bool
	// intent is the revision that the catalog holds.
	intent uint64
	// told are the rules, as of version; news is closed when there are others.
	told    *permitpb.RulesResponse
	version uint64
	news    chan struct{}

	// shown is the revision that the resources reflect.
	shown atomic.Uint64
}

// newPipeline makes the pipeline of a relay of a cluster.
func newPipeline(up knowledge, resources *feed.Log, cluster string, view render.View, log *slog.Logger) (*pipeline, error) {
	renderer, err := render.New(view)
	if err != nil {
		return nil, err
	}
	p := &pipeline{
		upstream: up, resources: resources, silentAfter: defaultSilentAfter, log: log,
		catalog: catalog.New(), renderer: renderer, cursors: map[feed.ID]*feed.Cursor{}, silent: map[string]bool{},
		news: make(chan struct{}),
	}
	p.catalog.Keep(cluster)
	return p, nil
}

func (p *pipeline) run(ctx context.Context) error {
	p.started = time.Now()
	watch := p.upstream.Set().Watch()
	defer watch.Close()
	ticker := time.NewTicker(judgeEvery)
	defer ticker.Stop()
	for {
		var step func() []string
		select {
		case <-ctx.Done():
			return nil
		case <-watch.C():
			step = func() []string { return p.read(watch.Changed()) }
		case <-ticker.C:
			step = p.judge
		}
		if err := p.advance(step); err != nil {
			return err
		}
	}
}

// advance takes one step of the catalog and renders what it changed.
func (p *pipeline) advance(step func() []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.render(step())
}

// read takes the new batches of feeds into the catalog.
func (p *pipeline) read(ids []feed.ID) (changed []string) {
	decided := false // something to judge: an expiry, or a feed that was not here before
	for _, id := range ids {
		cursor := p.cursors[id]
		if cursor == nil {
			log, ok := p.upstream.Set().Get(id)
			if !ok {
				continue
			}
			cursor = log.Cursor(feed.Position{})
			p.cursors[id] = cursor
			decided = true
		}
		for batch, ok := cursor.Next(); ok; batch, ok = cursor.Next() {
			changed = append(changed, p.catalog.Apply(id, batch)...)
			if id == feed.IntentID {
				p.intent = batch.To.Seq
				decided = decided || slices.ContainsFunc(batch.Records, func(r *feed.Record) bool { return r.Kind == model.KindLiveness })
			}
		}
	}
	if decided {
		// At once: who expired before this relay heard of it at all is not shown for an instant, whichever came first.
		changed = append(changed, p.judge()...)
	}
	return changed
}

// judge decides which clusters are silent: nothing was heard of any of their writers for a while. Before anything was ever
// heard the time counts from the relay's start, but for a cluster that has expired: it stays withdrawn across a restart
// until it is heard of.
func (p *pipeline) judge() (changed []string) {
	ages, hears := map[string]time.Duration{}, map[string]bool{}
	for _, id := range p.upstream.Set().IDs() {
		cluster, _, ok := model.SplitFeedID(id)
		log, held := p.upstream.Set().Get(id)
		if !ok || !held {
			continue
		}
		age, heard := log.Age()
		if hears[cluster] = hears[cluster] || heard; !heard {
			age = time.Since(p.started)
		}
		if youngest, seen := ages[cluster]; !seen || age < youngest {
			ages[cluster] = age
		}
	}
	for cluster, age := range ages {
		silent := age > p.silentAfter || !hears[cluster] && p.catalog.Expired(cluster)
		if silent == p.silent[cluster] {
			continue
		}
		if silent {
			p.silent[cluster] = true
			p.log.Warn("cluster is silent: its endpoints are demoted, and withdrawn only when it has expired",
				"cluster", cluster, "age", age, "expired", p.catalog.Expired(cluster))
		} else {
			delete(p.silent, cluster)
			p.log.Info("cluster is live again", "cluster", cluster)
		}
		changed = append(changed, p.catalog.SetSilent(cluster, silent)...)
	}
	return changed
}

// render writes what changed; the first time, all of it.
func (p *pipeline) render(changed []string) error {
	if !p.begun {
		if err := p.upstream.Ready(); err != nil {
			return nil // not an error: the next change or tick looks again
		}
		// All that made it ready, also what came after this step was begun, or what no step has been told of yet.
		p.read(p.upstream.Set().IDs())
		if err := p.begin(); err != nil {
			return err
		}
	} else if len(changed) > 0 {
		slices.Sort(changed)
		if _, err := p.renderer.Update(p.catalog, slices.Compact(changed), p.resources); err != nil {
			return err
		}
	}
	p.shown.Store(p.intent)
	p.tell()
	return nil
}

func (p *pipeline) begin() error {
	incarnation := feed.NextIncarnation(time.Now().UnixMilli(), 0, p.resources.Highest().Incarnation, rand.Uint64())
	if _, err := p.renderer.Begin(p.catalog, incarnation, p.resources); err != nil {
		return err
	}
	p.begun = true
	p.log.Info("resources are served", "services", len(p.catalog.Names()))
	return nil
}

// rendered is the intent's revision that the resources reflect; 0 before there are any. It is telemetry for permits:
// data planes may be behind it.
func (p *pipeline) rendered() uint64 { return p.shown.Load() }

// rules are what clients and guards must know of the Unitizations, and a channel that is closed when there are others.
// Nil: nothing is known yet, which is something else than that there are no rules. The response is shared, and never
// changed.
func (p *pipeline) rules() (*permitpb.RulesResponse, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told, p.news
}

// tell gives out the rules when they are others.
func (p *pipeline) tell() {
	version := p.catalog.RulesVersion()
	if p.told != nil && version == p.version {
		return
	}
	p.version = version
	now := rulesOf(p.catalog.Rules())
	if p.told != nil && proto.Equal(now, p.told) {
		return
	}
	p.told = now
	close(p.news)
	p.news = make(chan struct{})
}

func rulesOf(declared []catalog.Rules) *permitpb.RulesResponse {
	out := &permitpb.RulesResponse{}
	for _, d := range declared {
		r := &permitpb.Rules{Unitization: d.Unitization, Shards: uint32(d.Spec.Shards)}
		if key := d.Spec.Key; key != nil {
			r.Header, r.SkipDigits = key.Header, uint32(key.SkipDigits)
			switch key.Function {
			case v1alpha1.KeyLastDigits:
				r.Function = permitpb.KeyFunction_KEY_FUNCTION_LAST_DIGITS
			case v1alpha1.KeyModulo:
				r.Function = permitpb.KeyFunction_KEY_FUNCTION_MODULO
			}
		}
		for _, o := range d.Spec.Overrides {
			if r.Overrides == nil {
				r.Overrides = map[string]uint32{}
			}
			r.Overrides[o.Key] = uint32(o.Shard)
		}
		for _, s := range d.Services {
			r.Services = append(r.Services, &permitpb.Service{Name: s.Name, Reads: s.Reads})
		}
		out.Rules = append(out.Rules, r)
	}
	return out
}

// report fills in what the status page says of the pipeline.
func (p *pipeline) report(s *Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Silent = slices.Sorted(maps.Keys(p.silent))
	s.Withdrawn = slices.Sorted(slices.Values(p.catalog.Withdrawn()))
	for _, r := range p.catalog.Rejected() {
		s.Problems = append(s.Problems, fmt.Sprintf("feed %s: %s %q: %s", r.Feed, r.Kind, r.Key, r.Reason))
	}
	for _, f := range slices.Concat(p.renderer.Failed(), p.renderer.Refused()) {
		s.Problems = append(s.Problems, fmt.Sprintf("service %s: %v", f.Service, f.Err))
	}
	s.Rendered = p.rendered()
}
