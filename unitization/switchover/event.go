package switchover

import "time"

// Event is what happened or is asked for.
type Event interface{ event() }

type (
	// DeclareMap makes the map of a new Unitization from its baseline, or changes Permit and Keep of an existing one,
	// whose ranges it leaves alone: re-applying a spec never moves ownership (rule 22).
	DeclareMap struct {
		Unitization string
		Shards      int
		Baseline    []Range // Unit, Cells, From, To
		Permit      time.Duration
		Keep        bool
	}
	// RetireMap removes a map that no switchover touches.
	RetireMap struct{ Unitization string }
	// DeclareStore makes a store, open at its primary, or changes the members of an existing one, whose primary it
	// leaves alone.
	DeclareStore struct {
		Store       string
		Members     []string
		Primary     string
		Synchronous bool
		HoldsPermit bool
	}
	// RetireStore removes a store that no switchover touches.
	RetireStore struct{ Store string }
	// Declare makes a switchover in PhasePlanned. Plan is that of the request, made from the present state.
	Declare struct {
		Name, UID string
		Request   Request
		Plan      Plan
	}
	// Retire removes a switchover that has not begun, or has ended.
	Retire struct{ Name string }
	// Approve takes the locks and wants the target's cells. Plan is made anew from the present state: its hash, the
	// stored one and the approved one must be the same.
	Approve struct {
		Name, UID, Hash, Approver string
		Plan                      Plan
	}
	// Freeze makes the shards read-only.
	Freeze struct{ Name, UID string }
	// AckFreeze: everything below the session refuses, and has nothing in flight. Without effect when there is no
	// such freeze or session any more.
	AckFreeze struct {
		Session string
		Freeze  uint64
	}
	// AckFreezes are several, one after the other.
	AckFreezes struct{ Acks []AckFreeze }
	// WaitedOut: the leader has waited for the end of all permits of before the freeze.
	WaitedOut struct {
		Name, UID string
		Freeze    uint64
	}
	// StoreReported: a member obeys an order. Without effect unless it is the order in force.
	StoreReported struct {
		Store, Member string
		UID           string
		Report        Report
	}
	// Commit decides the new owner.
	Commit struct{ Name, UID string }
	// Converged ends an opened switchover.
	Converged struct{ Name, UID, Message string }
	// Abort rolls back what is not past its Commit.
	Abort struct{ Name, UID, Reason string }
	// OpenSession registers a session. Repeated, without effect; refused for one that is closed.
	OpenSession struct{ Session Session }
	// CloseSession: no more permits.
	CloseSession struct{ ID string }
	// RemoveSession: its last permit has ended.
	RemoveSession struct{ ID string }
	// Reincarnate begins a new life from an older state: Epoch is above every one that was ever taken, Wait is the
	// longest that a permit of before may hold.
	Reincarnate struct {
		Epoch uint64
		Wait  time.Duration
	}
	// Reconcile goes on with a restored state: the leader has waited until all permits of before have ended. The named
	// stores are decided, if enough is known of them. Without effect when nothing is to be reconciled.
	Reconcile struct {
		World  World
		Stores []string
	}
)

func (DeclareMap) event()    {}
func (RetireMap) event()     {}
func (DeclareStore) event()  {}
func (RetireStore) event()   {}
func (Declare) event()       {}
func (Retire) event()        {}
func (Approve) event()       {}
func (Freeze) event()        {}
func (AckFreeze) event()     {}
func (AckFreezes) event()    {}
func (WaitedOut) event()     {}
func (StoreReported) event() {}
func (Commit) event()        {}
func (Converged) event()     {}
func (Abort) event()         {}
func (OpenSession) event()   {}
func (CloseSession) event()  {}
func (RemoveSession) event() {}
func (Reincarnate) event()   {}
func (Reconcile) event()     {}
