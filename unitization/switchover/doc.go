// Package switchover is the order in which ownership moves: a pure state machine. State is all that counts (ownership
// maps, stores, sessions, switchovers with their locks), an Event is what happened or is asked for, and State.Apply is
// legality: it says what becomes of the state, or why the event is refused. The replicated state machine calls it for
// every command; an explorer in the tests goes through everything that can happen in a small estate. See DESIGN.md.
package switchover
