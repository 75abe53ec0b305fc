// Package source is what stands between a registry's adapter and the agent: the two interfaces, and what adapters
// share, a Table that turns services and their endpoints into records and a book of when each service was first
// exported.
//
// An adapter implements Source: it reads one registry and hands records to a Sink, first the whole set, then what
// changes. The agent implements Sink: it gives each source a feed of its own. The interfaces carry changes, not whole
// sets, so that one endpoint's change costs the same in a registry of ten services and in one of ten thousand; an
// adapter whose registry only has whole sets (a file) compares them itself, and only when that registry changed.
//
// Invariants of a Table:
//   - an endpoint stays in its slice, so one endpoint's change rewrites one slice of at most SliceSize endpoints;
//   - a slice has the endpoints of one service that serve the same ports;
//   - the records of Whole are those that all Changes so far add up to.
//
// Rejected: a source that returns its whole desired set each time (O(set) a change); a channel of events (it has to be
// bounded, and then says nothing better than a blocking call); the Kubernetes rule that repacks slices now and then (it
// rewrites what did not change to save records, and records are cheap in a feed).
package source
