//go:build race

package permit

const raceEnabled = true
