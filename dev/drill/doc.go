// Package drill is `pentad drill`: an estate of its own under live traffic, seven steps of trouble, and a report with a
// verdict.
//
// The way of the data: the load generators write every request to files (dev/sample/record), which follow reads; the
// supervisor tells of every process that starts or ends; probes (dev/drill/probe) tell when each relay sends which
// endpoints; writers write intent all the time and note every outcome; the steps note what they changed in the
// registries, whom they killed and what they expected. All of it becomes an oracle.History, which the pure package
// oracle judges and report shows.
//
// Invariants:
//   - Every wait has an end: a step that does not see what it waits for says so, and the drill goes on.
//   - Whoever is killed by somebody else, at any time, is noted as such and started again before the next step.
//   - What a step killed runs again before the next one begins.
//   - Nothing is judged while the drill goes on, and nothing is judged by the process that is judged: requests are
//     recorded by the clients, before anybody knows whether they will matter.
package drill
