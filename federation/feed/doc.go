// Package feed is how everything that changes travels in Pentad: a feed is a keyed set of records with exactly one
// writer and a position. Log holds one, Cursor reads it in the process, and Publisher, Service and Follower carry it
// between processes over gRPC. The package knows nothing of what records mean. DESIGN.md has the rules, by number.
package feed
