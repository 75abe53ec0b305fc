package switchover

// Apply says what becomes of the state by an event, or why the event is refused: then the state is the same. An event
// that changes nothing (a repeated or late one) is not refused.
func (s State) Apply(e Event) (State, []Problem) {
	return s, []Problem{{Field: "event", Value: e, Detail: "not understood yet"}}
}

// MakePlan expands a request into a plan, or says what is wrong with it.
func MakePlan(w World, s State, r Request) (Plan, []Problem) { return Plan{}, nil }

// Hash identifies a plan for its approval.
func (p Plan) Hash() string { return "" }

// Concerned are the sessions that a frozen switchover still waits for: relays in the centers of the cells that it leaves,
// which have not acknowledged the freeze. Sorted.
func (s State) Concerned(name string) []string { return nil }

// Waiting says in a sentence what a switchover waits for, and what an operator can do.
func (s State) Waiting(name string) string { return "" }
