package sim

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"pentad.dev/pentad/federation/intent/intentpb"
)

// order is what an operator does; one after the other, while faults go on.
type order struct {
	At   time.Duration `json:"at"`
	Kind orderKind     `json:"kind"`
	// On is a server, or "leader".
	On string `json:"on,omitempty"`
	// For is how long all is gone, or how long a spare stays.
	For time.Duration `json:"for,omitempty"`
}

type orderKind string

// The orders.
const (
	replace     orderKind = "a disk is lost"  // its server is refused, removed, and joins again with a token
	stand       orderKind = "a spare server"  // joins, is promoted, stands in for one that is removed, and goes when that is back
	backUp      orderKind = "a backup"        //
	rebuild     orderKind = "all disks lost"  // the last backup is restored at one server, the others join
	spare                 = "sh-c"            // the spare server, in a center of its own
	orderPrefix           = "order: "         // in front of their counts
	late                  = 100 * time.Second // an order takes some time: none begins later than this before the last fault's end
)

// newOrders are an operator's, at most one loss of everything among them.
func newOrders(seed uint64, length time.Duration, kinds []orderKind) (all []order) {
	rnd := rand.New(rand.NewPCG(seed, 4))
	last := length - settles - late
	between := func(from, to time.Duration) time.Duration {
		return from + time.Duration(rnd.Int64N(int64(max(to-from, 1))))
	}
	lost := slices.Contains(kinds, rebuild) && seed%2 == 0
	for at := between(20*time.Second, 60*time.Second); at < last; at += between(40*time.Second, 150*time.Second) {
		o := order{At: at, On: centers[rnd.IntN(len(centers))], For: between(time.Second, 20*time.Second)}
		switch n := rnd.IntN(4); {
		case lost && (at > last/2 || rnd.IntN(4) == 0):
			o.Kind, lost = backUp, false
			all = append(all, o)
			at = min(at+between(5*time.Second, 60*time.Second), last-time.Second)
			o.At, o.Kind = at, rebuild
		case n < 2:
			o.Kind = replace
		default:
			if o.Kind = stand; n == 2 {
				o.On = "leader"
			}
		}
		if slices.Contains(kinds, o.Kind) {
			all = append(all, o)
		}
	}
	return all
}

// operator carries orders out.
type operator struct {
	*estate
	rnd     *rand.Rand
	clients *clients
	saved   []byte // the last backup
}

// administer carries all orders out.
func (e *estate) administer(ctx context.Context, s schedule, c *clients) {
	op := &operator{estate: e, rnd: rand.New(rand.NewPCG(s.Seed, 9)), clients: c}
	for _, o := range s.Orders {
		select {
		case <-ctx.Done():
			return
		case <-time.After(o.At - e.now()):
		}
		if e.now() > s.Length-settles-late/2 {
			return
		}
		if o.On == "leader" {
			o.On = centers[op.rnd.IntN(len(centers))]
			if l := e.leader(); l != nil {
				o.On = l.name
			}
		}
		e.log.Info("simulation: order", "kind", string(o.Kind), "on", o.On)
		switch o.Kind {
		case replace:
			op.replace(ctx, e.servers[o.On])
		case stand:
			op.stand(ctx, e.servers[o.On], o.For)
		case backUp:
			op.backUp(ctx)
		case rebuild:
			op.rebuild(ctx, e.servers[o.On], o.For)
		}
		e.log.Info("simulation: order is carried out", "kind", string(o.Kind), "on", o.On)
		e.oracle.count(orderPrefix + string(o.Kind))
	}
}

// ask has any server that runs do something, until one has.
func (op *operator) ask(ctx context.Context, do func(ctx context.Context, l *life) error) bool {
	return await(ctx, 300*time.Millisecond, func() bool {
		all := op.everyone()
		l := op.servers[all[op.rnd.IntN(len(all))]].present()
		if l == nil {
			return false
		}
		within, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		err := do(within, l)
		if err != nil {
			op.log.Debug("simulation: asked in vain", "server", l.name, "error", err)
		}
		return err == nil
	})
}

func (op *operator) change(ctx context.Context, what intentpb.Order, name string) bool {
	return op.ask(ctx, func(ctx context.Context, l *life) error {
		_, err := l.core.Change(ctx, &intentpb.ChangeRequest{Name: name, Order: what})
		if err != nil && what == intentpb.Order_ORDER_REMOVE && strings.Contains(err.Error(), "no server of the estate") {
			return nil
		}
		return err
	})
}

// replace takes a server's disk. It must not go on as what it was; it joins again.
func (op *operator) replace(ctx context.Context, s *center) {
	s.bar(true)
	s.disk.wipe()
	s.unbar(nil)
	within, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	await(within, 200*time.Millisecond, func() bool {
		l := s.present()
		if l == nil {
			return false
		}
		if cluster := l.core.Node().Folder().Cluster; cluster != "" {
			op.oracle.violated("%s has lost its disk, and is one of cluster %s", s.name, cluster)
		}
		if l.refused() == nil {
			return false
		}
		op.oracle.count("servers refused that had lost their disk")
		return true
	})
	op.admit(ctx, s)
}

// stand has the spare stand in for a server.
func (op *operator) stand(ctx context.Context, s *center, long time.Duration) {
	in := op.servers[spare]
	if !op.admit(ctx, in) {
		return
	}
	s.mayEnd.Store(true)
	if !op.change(ctx, intentpb.Order_ORDER_REMOVE, s.name) {
		return
	}
	op.oracle.count("servers removed")
	within, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	if await(within, 200*time.Millisecond, func() bool { l := s.present(); return l != nil && l.refused() != nil }) {
		op.oracle.count("servers that ended because they were removed")
	}
	lasts(within, fault{For: long})
	if !op.admit(ctx, s) {
		return
	}
	in.mayEnd.Store(true)
	if !op.change(ctx, intentpb.Order_ORDER_REMOVE, spare) {
		return
	}
	op.oracle.count("servers removed")
	in.bar(false)
	in.disk.wipe()
}

// backUp takes a backup at any server. What it holds of the registers is a read of each.
func (op *operator) backUp(ctx context.Context) {
	op.ask(ctx, func(ctx context.Context, l *life) error {
		began := op.now()
		var file bytes.Buffer
		if err := l.core.BackUp(ctx, &file); err != nil {
			return err
		}
		if l.center.present() != l {
			return errKilled
		}
		op.saved = file.Bytes()
		for key, value := range op.registersOf(op.saved) {
			op.clients.remember(began, register{Key: key}, answer{Value: value})
		}
		op.oracle.count("backups")
		return nil
	})
}
