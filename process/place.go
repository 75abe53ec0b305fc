package process

import (
	"errors"
	"slices"
)

// Place is where a process is.
type Place struct {
	Region string `json:"region"`
	Center string `json:"center"`
}

// Validate refuses a place without names.
func (p Place) Validate() error {
	return errors.Join(Required("region", p.Region), Required("center", p.Center))
}

// Distance is 0 within a center, 1 within a region, 2 otherwise.
func (p Place) Distance(q Place) int {
	switch {
	case p == q:
		return 0
	case p.Region == q.Region:
		return 1
	default:
		return 2
	}
}

// Nearest is a list in the order of distance, and in its own order at the same distance.
func Nearest[T any](p Place, list []T, place func(T) Place) []T {
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b T) int { return p.Distance(place(a)) - p.Distance(place(b)) })
	return sorted
}

// Spread is Nearest for who listens to the first two: the second is of another region, if there is one. Two of one region
// are cut off together, and when their region comes back they are behind together.
func Spread[T any](p Place, list []T, place func(T) Place) []T {
	sorted := Nearest(p, list, place)
	far := slices.IndexFunc(sorted, func(one T) bool { return place(one).Region != p.Region })
	if far < 2 {
		return sorted
	}
	second := sorted[far]
	return slices.Insert(slices.Delete(sorted, far, far+1), 1, second)
}
