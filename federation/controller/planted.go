//go:build planted

package controller

import "fmt"

var (
	// waitsLess waits a tenth of T for the end of permits (rule 5 of ownership).
	waitsLess bool
	// trustsPredecessor has a new leader take what it finds frozen or closed for waited out, as if the log's time of it were
	// its own (rule 5 of ownership).
	trustsPredecessor bool
	// removesAtOnce removes a session as soon as it is closed (rule 3 of ownership).
	removesAtOnce bool
)

// Plant breaks a rule on purpose, in every leader of the process, until undo is called. It is in no program that ships:
// simulations that show that they find it are built with the tag.
func Plant(rule string) (undo func()) {
	planted, ok := map[string]*bool{
		"waitsLess": &waitsLess, "trustsPredecessor": &trustsPredecessor, "removesAtOnce": &removesAtOnce,
	}[rule]
	if !ok {
		panic(fmt.Sprintf("controller: no rule %q", rule))
	}
	*planted = true
	return func() { *planted = false }
}
