package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/unitization/fence"
	"pentad.dev/pentad/unitization/fence/webhook"
)

// connections is how many servers the intent is heard from: the nearest, and one more, since the nearest may be cut off
// itself.
const connections = 2

// patience is how long the orders of a server that is behind another one are good enough: a switchover waits for them.
const patience = 500 * time.Millisecond

// kindStore is the kind of Stores' declarations.
const kindStore = "Store"

// Config is what Orders need.
type Config struct {
	// Cluster is the agent's: members of this cluster are driven.
	Cluster string
	// Servers are the federation's servers, nearest first.
	Servers []feed.Peer
	// Report writes what is to be said of a member, under the Store's name; nil: nothing any more. It is called again,
	// soon, when it fails.
	Report func(store string, report *modelpb.StoreReport) error
	// Driver makes a driver of a member; nil: its webhook.
	Driver func(member v1alpha1.StoreMember) (fence.Driver, error)
	// Dial opens connections; nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Heartbeat is as in feed.FollowerConfig; 0: its default.
	Heartbeat time.Duration
	Log       *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Validate names every wrong field.
func (c Config) Validate() error {
	errs := []error{process.Required("cluster", c.Cluster)}
	if len(c.Servers) == 0 {
		errs = append(errs, errors.New("servers: must name at least one federation server"))
	}
	if c.Report == nil {
		errs = append(errs, errors.New("report: must not be nil"))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("log: must not be nil"))
	}
	return errors.Join(errs...)
}

// Orders obeys the StoreOrders of one cluster.
type Orders struct {
	cfg      Config
	set      *feed.Set
	follower *feed.Follower

	mu      sync.Mutex
	stores  map[string]*v1alpha1.Store
	orders  map[string]*modelpb.StoreOrder
	members map[string]*member
	// problems are of records that cannot be used.
	problems map[string]string
}

// New fails on a wrong configuration.
func New(cfg Config) (_ *Orders, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	o := &Orders{
		cfg: cfg, stores: map[string]*v1alpha1.Store{}, orders: map[string]*modelpb.StoreOrder{},
		members: map[string]*member{}, problems: map[string]string{},
	}
	if cfg.Driver == nil {
		o.cfg.Driver = o.webhook
	}
	// In memory: an order is in force when a server says so, never because a disk remembers it.
	if o.set, err = feed.OpenSet("", feed.Options{Log: cfg.Log}); err != nil {
		return nil, err
	}
	wanted := feed.NewFilter([]string{kindStore, model.KindStoreOrder}, nil)
	o.follower, err = feed.NewFollower(feed.FollowerConfig{
		Set: o.set, Peers: cfg.Servers, Connections: min(connections, len(cfg.Servers)), Patience: patience,
		Want:      func(id feed.ID) (feed.Filter, bool) { return wanted, id == feed.IntentID },
		Validator: validate, Heartbeat: cfg.Heartbeat, Dialer: cfg.Dial, Log: cfg.Log, Metrics: cfg.Metrics,
	})
	return o, err
}

func (o *Orders) webhook(m v1alpha1.StoreMember) (fence.Driver, error) {
	if m.Webhook == nil {
		return nil, errors.New("webhook: is required")
	}
	cfg := webhook.Config{URL: m.Webhook.URL}
	if dial := o.cfg.Dial; dial != nil {
		cfg.Dial = func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, address) }
	}
	return webhook.New(cfg)
}

func validate(_ feed.ID, r *feed.Record) error {
	if r.Kind == kindStore {
		_, err := decodeStore(r)
		return err
	}
	_, err := model.DecodeStoreOrder(r.Key, r.Value)
	return err
}

func decodeStore(r *feed.Record) (*v1alpha1.Store, error) {
	s := &v1alpha1.Store{}
	if err := json.Unmarshal(r.Value, s); err != nil {
		return nil, fmt.Errorf("%s %q: %w", r.Kind, r.Key, err)
	}
	return s, nil
}

// Run obeys until ctx ends. When it returns, no call is under way.
func (o *Orders) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return o.set.Run(ctx) })
	group.Go(func() error { return o.follower.Run(ctx) })
	group.Go(func() error {
		watch := o.set.Watch()
		defer watch.Close()
		defer o.stop()
		var cursor *feed.Cursor
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-watch.C():
			}
			watch.Changed()
			if l, ok := o.set.Get(feed.IntentID); ok && cursor == nil {
				cursor = l.Cursor(feed.Position{})
				defer cursor.Close()
			}
			for cursor != nil {
				batch, ok := cursor.Next()
				if !ok {
					break
				}
				o.take(ctx, batch)
			}
		}
	})
	return group.Wait()
}

// take takes a step of the intent, and has each member that it concerns obey.
func (o *Orders) take(ctx context.Context, batch feed.Batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	concerned := map[string]bool{}
	if batch.Reset {
		for name := range o.members {
			concerned[name] = true
		}
		clear(o.stores)
		clear(o.orders)
		clear(o.problems)
	}
	for _, r := range batch.Records {
		concerned[r.Key] = true
		delete(o.problems, r.Kind+" "+r.Key)
		if err := o.record(r); err != nil {
			o.problems[r.Kind+" "+r.Key] = err.Error()
			o.cfg.Log.Error("record of the intent cannot be used", "kind", r.Kind, "key", r.Key, "error", err)
		}
	}
	for name := range concerned {
		o.settle(ctx, name)
	}
}

// record takes one record. One that cannot be read leaves what was known: an order that nobody understands is obeyed by
// nobody, and an older one is refused by the member if it is of the past.
func (o *Orders) record(r *feed.Record) (err error) {
	switch {
	case r.Kind == kindStore && r.Value == nil:
		delete(o.stores, r.Key)
	case r.Kind == kindStore:
		var s *v1alpha1.Store
		if s, err = decodeStore(r); err == nil {
			o.stores[r.Key] = s
		}
	case r.Value == nil:
		delete(o.orders, r.Key)
	default:
		var order *modelpb.StoreOrder
		if order, err = model.DecodeStoreOrder(r.Key, r.Value); err == nil {
			o.orders[r.Key] = order
		}
	}
	return err
}

// settle begins, changes or ends what drives this cluster's member of a store.
func (o *Orders) settle(ctx context.Context, store string) {
	var wanted *v1alpha1.StoreMember
	if s := o.stores[store]; s != nil {
		i := slices.IndexFunc(s.Spec.Members, func(m v1alpha1.StoreMember) bool { return m.Cluster == o.cfg.Cluster })
		if i >= 0 {
			wanted = &s.Spec.Members[i]
		}
	}
	running := o.members[store]
	if running != nil && (wanted == nil || !running.drives(*wanted)) {
		running.end()
		delete(o.members, store)
		if wanted == nil {
			if err := o.cfg.Report(store, nil); err != nil {
				o.cfg.Log.Warn("report not withdrawn", "store", store, "error", err)
			}
			return
		}
		running = nil
	}
	if wanted == nil {
		return
	}
	if running == nil {
		var err error
		if running, err = o.begin(ctx, store, *wanted); err != nil {
			o.problems[kindStore+" "+store] = err.Error()
			o.cfg.Log.Error("member of a store cannot be driven", "store", store, "member", wanted.Center, "error", err)
			return
		}
		o.members[store] = running
	}
	running.ordered(orderOf(o.orders[store]))
}

// stop ends every member.
func (o *Orders) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.members {
		m.end()
	}
}
