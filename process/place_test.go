package process_test

import (
	"slices"
	"testing"

	"pentad.dev/pentad/process"
)

func TestWhoListensToTwoListensInTwoRegions(t *testing.T) {
	place := func(region, center string) process.Place { return process.Place{Region: region, Center: center} }
	all := []process.Place{place("s", "s1"), place("h", "h1"), place("h", "h2"), place("z", "z1")}
	self := func(p process.Place) process.Place { return p }
	here := place("h", "h2")
	if got, want := process.Nearest(here, all, self), []process.Place{all[2], all[1], all[0], all[3]}; !slices.Equal(got, want) {
		t.Errorf("nearest: %v, want %v", got, want)
	}
	if got, want := process.Spread(here, all, self), []process.Place{all[2], all[0], all[1], all[3]}; !slices.Equal(got, want) {
		t.Errorf("spread: %v, want %v", got, want)
	}
	if got, want := process.Spread(here, all[1:3], self), []process.Place{all[2], all[1]}; !slices.Equal(got, want) {
		t.Errorf("one region alone: %v, want %v", got, want)
	}
	if !slices.Equal(all, []process.Place{place("s", "s1"), place("h", "h1"), place("h", "h2"), place("z", "z1")}) {
		t.Error("the list itself was sorted")
	}
}
