// Package record is the sample's memory. The load generator's: every request that a client made, in an append-only
// file of one JSON object a line that outlives the client's sudden death. And the guards': what each of a process let
// through and refused, and when it was open, in a Journal of the same kind.
//
// A Writer gathers what ended and appends it in one write(2) at least each FlushEvery. At every flush it also writes a
// mark for each request that is still under way, so that a reader knows what was in flight when the client was killed;
// what is lost with the client is at most the last FlushEvery. All times are CLOCK_BOOTTIME in nanoseconds, which every
// process of a machine shares, so records of many files, and of the processes that were killed meanwhile, can be put in
// one order.
package record
