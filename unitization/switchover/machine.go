package switchover

import (
	"fmt"
	"maps"
)

// Apply says what becomes of the state by an event, or why the event is refused: then the state is the same. An event
// that changes nothing (a repeated or late one) is not refused. What an event does not touch keeps its pointer, so a
// caller finds what changed by comparing them.
func (s State) Apply(e Event) (State, []Problem) { return apply(s, e, always) }

func apply(s State, e Event, broken breakage) (State, []Problem) {
	d := &draft{State: s, broken: broken}
	if problems := d.do(e); len(problems) > 0 {
		return s, problems
	}
	return d.State, nil
}

// draft is a state in the making. What it changes it copies first, so that the state it came from stays as it is.
type draft struct {
	State
	broken breakage
}

func (d *draft) do(e Event) []Problem {
	switch e := e.(type) {
	case DeclareMap:
		return d.declareMap(e)
	case RetireMap:
		return d.retireMap(e)
	case DeclareStore:
		return d.declareStore(e)
	case RetireStore:
		return d.retireStore(e)
	case OpenSession:
		return d.openSession(e)
	case CloseSession:
		return d.closeSession(e)
	case RemoveSession:
		return d.removeSession(e)
	case StoreReported:
		return d.storeReported(e)
	case AckFreeze:
		return d.ackFreezes(e)
	case AckFreezes:
		return d.ackFreezes(e.Acks...)
	case Reincarnate:
		return d.reincarnate(e)
	case Reconcile:
		return d.reconcile(e)
	default:
		return d.doSwitchover(e)
	}
}

// doSwitchover does what is done to one switchover by its name.
func (d *draft) doSwitchover(e Event) []Problem {
	switch e := e.(type) {
	case Declare:
		return d.declare(e)
	case Retire:
		return d.retire(e)
	case Approve:
		return d.approve(e)
	case Freeze:
		return d.freeze(e)
	case WaitedOut:
		return d.waitedOut(e)
	case Commit:
		return d.commit(e)
	case Converged:
		return d.converged(e)
	case Abort:
		return d.abort(e)
	default:
		return problem("event", fmt.Sprintf("%T", e), "is not one of this version")
	}
}

// nextEpoch takes an epoch.
func (d *draft) nextEpoch() uint64 {
	d.Epoch++
	return d.Epoch
}

func (d *draft) editMap(name string) *Map {
	m := *d.Maps[name]
	d.Maps = put(d.Maps, name, &m)
	return &m
}

func (d *draft) editStore(name string) *Store {
	store := *d.Stores[name]
	d.Stores = put(d.Stores, name, &store)
	return &store
}

func (d *draft) editSwitchover(name string) *Switchover {
	sw := *d.Switchovers[name]
	d.Switchovers = put(d.Switchovers, name, &sw)
	return &sw
}

// put is a copy of m with one more or another value.
func put[V any](m map[string]V, key string, value V) map[string]V {
	clone := make(map[string]V, len(m)+1)
	maps.Copy(clone, m)
	clone[key] = value
	return clone
}

// without is a copy of m that lacks a key.
func without[V any](m map[string]V, key string) map[string]V {
	clone := maps.Clone(m)
	delete(clone, key)
	return clone
}

func problem(field string, value any, format string, args ...any) []Problem {
	return []Problem{{Field: field, Value: value, Detail: fmt.Sprintf(format, args...)}}
}

// String is a line for logs and tests.
func (p Problem) String() string { return fmt.Sprintf("%s: %v: %s", p.Field, p.Value, p.Detail) }
