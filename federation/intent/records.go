package intent

import (
	"fmt"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/unitization/switchover"
)

// inFeed says that objects of a kind are records of the intent feed. A Switchover and the Estate are for operators: what
// relays and agents need of them is in Ownership, StoreOrder and Liveness.
func (f *FSM) inFeed(kind string) bool {
	return kind != v1alpha1.KindSwitchover && kind != v1alpha1.KindEstate && !f.unchecked(kind)
}

// records are what an entry changes in the feed. They go out in one commit: a freeze, and the orders that go with it,
// are seen together or not at all.
func (e *entry) records() []feed.Change {
	var changes []feed.Change
	for _, event := range e.events {
		if !e.f.inFeed(event.Kind) || event.statusOnly && !e.f.config.broken.has(brokenFeedSpecs) {
			continue
		}
		if event.Prev != nil && event.Object != nil && sameDeclaration(event.Object, event.Prev) &&
			!e.f.config.broken.has(brokenFeedSpecs) {
			continue // the feed has it
		}
		change := feed.Change{Kind: event.Kind, Key: event.Name}
		if event.Object != nil {
			change.Value = e.f.declaration(event.Object)
		}
		changes = append(changes, change)
	}
	now := e.state.ownership
	for _, name := range touched(e.before.Maps, now.Maps) {
		changes = append(changes, ownershipChange(name, now.Maps[name]))
	}
	for _, name := range touched(e.before.Stores, now.Stores) {
		changes = append(changes, orderChange(name, now.Stores[name]))
	}
	return append(changes, e.f.state.expiries.livenessChanges(e.state.expiries)...)
}

func ownershipChange(name string, m *switchover.Map) feed.Change {
	change := feed.Change{Kind: model.KindOwnership, Key: name}
	if m != nil {
		change.Value = ownershipRecord(name, m)
	}
	return change
}

// orderChange is without a value, a deletion, also for a store that was never ordered anything.
func orderChange(name string, s *switchover.Store) feed.Change {
	change := feed.Change{Kind: model.KindStoreOrder, Key: name}
	if s != nil && s.Order != nil {
		change.Value = orderRecord(name, s.Order)
	}
	return change
}

// ownershipRecord encodes a map as its record, the same map always to the same bytes.
func ownershipRecord(name string, m *switchover.Map) []byte {
	record := &modelpb.Ownership{Unitization: name, Shards: uint32(m.Shards), Epoch: m.Epoch, Wanted: m.Wanted}
	for _, r := range m.Ranges {
		owned := &modelpb.OwnedRange{
			From: uint32(r.From), To: uint32(r.To), Unit: r.Unit, Cells: r.Cells, Since: r.Since,
			State: modelpb.RangeState_RANGE_STATE_OPEN,
		}
		if r.Frozen {
			owned.State = modelpb.RangeState_RANGE_STATE_FROZEN
		}
		record.Ranges = append(record.Ranges, owned)
	}
	value, err := model.Encode(record)
	if err != nil {
		panic(fmt.Sprintf("intent: Ownership %q cannot be encoded: %v", name, err))
	}
	return value
}

// orderRecord encodes an order as its record.
func orderRecord(name string, o *switchover.Order) []byte {
	record := &modelpb.StoreOrder{
		Store: name, Action: actions[o.Action], Member: o.Member, Token: o.Token,
		Switchover: o.Switchover, SwitchoverUid: o.UID, Step: uint32(o.Step),
	}
	if o.Action == switchover.CatchUp {
		record.Position = &modelpb.StorePosition{Epoch: o.Position.Epoch, Index: o.Position.Index}
	}
	if o.Action == switchover.Open || o.Action == switchover.Unfence {
		record.Primary = o.Member
	}
	value, err := model.Encode(record)
	if err != nil {
		panic(fmt.Sprintf("intent: StoreOrder %q cannot be encoded: %v", name, err))
	}
	return value
}

// actions has each action by its number.
var actions = [...]modelpb.StoreAction{
	switchover.Fence:   modelpb.StoreAction_STORE_ACTION_FENCE,
	switchover.CatchUp: modelpb.StoreAction_STORE_ACTION_CATCH_UP,
	switchover.Promote: modelpb.StoreAction_STORE_ACTION_PROMOTE,
	switchover.Open:    modelpb.StoreAction_STORE_ACTION_OPEN,
	switchover.Unfence: modelpb.StoreAction_STORE_ACTION_UNFENCE,
}

// commitPieces commits all changes but the last, each at a revision of its own. Only a broken FSM does.
func (f *FSM) commitPieces(changes *[]feed.Change) {
	at := f.state.position()
	for len(*changes) > 1 {
		before := at
		before.Seq -= uint64(len(*changes) - 1)
		if !f.feed.Position().Before(before) {
			return
		}
		if err := f.feed.CommitAt(before, (*changes)[0]); err != nil {
			panic(err)
		}
		*changes = (*changes)[1:]
	}
}
