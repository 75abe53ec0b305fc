package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"pentad.dev/pentad/unitization/switchover"
)

// authority is an intent of one replica, whose log can be cut off from it.
type authority struct {
	mu       sync.Mutex
	state    switchover.State
	revision uint64
	changed  chan struct{}
	// committed is the revision that a read returns; state may lag behind it.
	lag      []func(*switchover.State)
	lagging  bool
	readErr  error
	ackErr   error
	openErr  error
	delay    time.Duration
	reads    int
	entries  [][]switchover.AckFreeze
	opened   []switchover.Session
	onRead   func()
	advanced chan struct{}
}

func newAuthority() *authority {
	return &authority{
		revision: 1, changed: make(chan struct{}), advanced: make(chan struct{}),
		state: switchover.State{
			Epoch:       1,
			Maps:        map[string]*switchover.Map{"users": usersMap(1)},
			Stores:      map[string]*switchover.Store{},
			Sessions:    map[string]*switchover.Session{},
			Switchovers: map[string]*switchover.Switchover{},
		},
	}
}

// usersMap has unit rz01 in hz-a for shards 0 to 49, rz03 in sh-a for the rest.
func usersMap(epoch uint64) *switchover.Map {
	return &switchover.Map{Shards: 100, Epoch: epoch, Permit: 5 * time.Second, Ranges: []switchover.Range{
		{From: 0, To: 49, Unit: "rz01", Cells: []string{"rz01.hz-a"}, Since: 1},
		{From: 50, To: 99, Unit: "rz03", Cells: []string{"rz03.sh-a"}, Since: 1},
	}}
}

func (a *authority) Read(ctx context.Context) (uint64, error) {
	a.mu.Lock()
	a.reads++
	revision, err, delay, hook := a.revision+uint64(len(a.lag)), a.readErr, a.delay, a.onRead
	a.mu.Unlock()
	if hook != nil {
		hook()
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return revision, err
}

func (a *authority) State() (switchover.State, uint64, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state, a.revision, a.changed
}

func (a *authority) WaitRevision(ctx context.Context, revision uint64) error {
	for {
		a.mu.Lock()
		at, advanced := a.revision, a.advanced
		a.mu.Unlock()
		if at >= revision {
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *authority) OpenSession(_ context.Context, s switchover.Session) error {
	a.mu.Lock()
	err := a.openErr
	a.opened = append(a.opened, s)
	a.mu.Unlock()
	if err != nil {
		return err
	}
	a.commit(func(st *switchover.State) {
		st.Sessions = maps.Clone(st.Sessions)
		if st.Sessions[s.ID] == nil {
			st.Sessions[s.ID] = &s
		}
	})
	return nil
}

func (a *authority) AckFreeze(_ context.Context, acks []switchover.AckFreeze) error {
	a.mu.Lock()
	err := a.ackErr
	a.mu.Unlock()
	if err != nil {
		return err
	}
	a.commit(func(st *switchover.State) {
		a.entries = append(a.entries, slices.Clone(acks))
		for _, ack := range acks {
			for name, sw := range st.Switchovers {
				if sw.Freeze != ack.Freeze {
					continue
				}
				after := *sw
				after.Acked = maps.Clone(sw.Acked)
				after.Acked[ack.Session] = true
				st.Switchovers = maps.Clone(st.Switchovers)
				st.Switchovers[name] = &after
			}
		}
	})
	return nil
}

// commit is an entry of the log: applied at once, or when the replica no longer lags.
func (a *authority) commit(change func(*switchover.State)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lag = append(a.lag, change)
	if !a.lagging {
		a.apply()
	}
}

func (a *authority) apply() {
	for _, change := range a.lag {
		change(&a.state)
		a.revision++
	}
	a.lag = nil
	close(a.changed)
	close(a.advanced)
	a.changed, a.advanced = make(chan struct{}), make(chan struct{})
}

func (a *authority) catchUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lagging = false
	a.apply()
}

// freeze freezes rz01's shards, and returns the freeze.
func (a *authority) freeze() uint64 {
	var epoch uint64
	a.commit(func(st *switchover.State) {
		st.Epoch++
		epoch = st.Epoch
		m := *st.Maps["users"]
		m.Epoch, m.Ranges = epoch, slices.Clone(m.Ranges)
		m.Ranges[0].Frozen, m.Ranges[0].Since, m.Ranges[0].Left = true, epoch, []string{"rz01.hz-a"}
		st.Maps = map[string]*switchover.Map{"users": &m}
		st.Switchovers = maps.Clone(st.Switchovers)
		st.Switchovers[fmt.Sprint("s", epoch)] = &switchover.Switchover{
			Phase: switchover.PhaseFrozen, Freeze: epoch, Acked: map[string]bool{},
		}
	})
	return epoch
}

// thaw opens them again under a new epoch.
func (a *authority) thaw() {
	a.commit(func(st *switchover.State) {
		st.Epoch++
		m := *st.Maps["users"]
		m.Epoch, m.Ranges = st.Epoch, slices.Clone(m.Ranges)
		m.Ranges[0].Frozen, m.Ranges[0].Since, m.Ranges[0].Left = false, st.Epoch, nil
		st.Maps, st.Switchovers = map[string]*switchover.Map{"users": &m}, map[string]*switchover.Switchover{}
	})
}

func (a *authority) set(change func(*authority)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

func (a *authority) acked(freeze uint64) int {
	s, _, _ := a.State()
	for _, sw := range s.Switchovers {
		if sw.Freeze == freeze {
			return len(sw.Acked)
		}
	}
	return 0
}
