//go:build race

package switchover

// underRace says that the race detector runs, which makes the explorer ten times slower and finds nothing in it: it
// is one goroutine.
const underRace = true
