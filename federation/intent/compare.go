package intent

import (
	"bytes"
	"reflect"
	"slices"

	"pentad.dev/pentad/unitization/switchover"
)

// touched are the names whose values were made anew, sorted. A value that nobody touched is the same pointer.
func touched[T any](before, after map[string]*T) []string {
	if sameMap(before, after) {
		return nil
	}
	var names []string
	for name, value := range after {
		if before[name] != value {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// sameMap says that two maps are one, without looking into them.
func sameMap[T any](a, b map[string]*T) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// sameOwnership compares by what a snapshot would say: whether a command changed anything must hang neither on what the
// machine copied, nor on whether this replica came from a snapshot.
func sameOwnership(a, b switchover.State) bool {
	return a.Epoch == b.Epoch && sameRestored(a.Restored, b.Restored) &&
		same(a.Maps, b.Maps, func(m map[string]*switchover.Map) switchover.State { return switchover.State{Maps: m} }) &&
		same(a.Stores, b.Stores, func(m map[string]*switchover.Store) switchover.State {
			return switchover.State{Stores: m}
		}) &&
		same(a.Sessions, b.Sessions, func(m map[string]*switchover.Session) switchover.State {
			return switchover.State{Sessions: m}
		}) &&
		same(a.Switchovers, b.Switchovers, func(m map[string]*switchover.Switchover) switchover.State {
			return switchover.State{Switchovers: m}
		})
}

func sameRestored(a, b *switchover.Restored) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	x, err := switchover.State{Restored: a}.Encode()
	y, err2 := switchover.State{Restored: b}.Encode()
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// same encodes the values that are not the same pointers.
func same[T any](a, b map[string]*T, state func(map[string]*T) switchover.State) bool {
	if len(a) != len(b) {
		return false
	}
	for _, name := range touched(a, b) {
		if a[name] == nil || b[name] == nil {
			return false
		}
		x, err := state(map[string]*T{name: a[name]}).Encode()
		y, err2 := state(map[string]*T{name: b[name]}).Encode()
		if err != nil || err2 != nil || !bytes.Equal(x, y) {
			return false
		}
	}
	return true
}
