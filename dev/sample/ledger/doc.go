// Package ledger is the store of the sample: a log with a member in each of several centers, of which one, the primary,
// takes writes. A write is acknowledged when a majority has it on disk and the primary holds a permit at that moment.
// Each member keeps the highest token that it has seen on disk before it acts on it, and refuses lower ones: so a
// member that was left behind, by a switchover that it has not heard of, can acknowledge nothing. See DESIGN.md.
package ledger
