package intent

// The limits are part of what a replica is: all must forget at the same command. Change them only together with a new
// version of the snapshot.
const (
	maxAnswers     = 8192
	maxAnswerBytes = 8 << 20
)

type limits struct{ count, bytes int }

// answers are the latest results by command id: a retry is answered, not applied again. Which are kept follows from the
// commands alone.
type answers struct {
	limits limits
	byID   map[[IDSize]byte]*answer
	// queue has the answers from the oldest on, after head forgotten ones.
	queue []*answer
	head  int
	bytes int
}

// answer is immutable.
type answer struct {
	id     [IDSize]byte
	result []byte
}

func newAnswers(l limits) *answers { return &answers{limits: l, byID: map[[IDSize]byte]*answer{}} }

func (a *answers) get(id []byte) ([]byte, bool) {
	found, ok := a.byID[[IDSize]byte(id)]
	if !ok {
		return nil, false
	}
	return found.result, true
}

// add remembers an id that is not there, and forgets the oldest ones above the limits.
func (a *answers) add(id []byte, result []byte) {
	entry := &answer{id: [IDSize]byte(id), result: result}
	a.byID[entry.id] = entry
	a.queue = append(a.queue, entry)
	a.bytes += len(result)
	for a.len() > a.limits.count || a.bytes > a.limits.bytes && a.len() > 1 {
		oldest := a.queue[a.head]
		a.queue[a.head] = nil
		a.head++
		a.bytes -= len(oldest.result)
		delete(a.byID, oldest.id)
	}
	if a.head > len(a.queue)/2 { // amortised: each answer moves once at most
		a.queue, a.head = append(make([]*answer, 0, len(a.queue)), a.queue[a.head:]...), 0
	}
}

func (a *answers) len() int { return len(a.queue) - a.head }

// list is a copy, from the oldest on.
func (a *answers) list() []*answer { return append([]*answer(nil), a.queue[a.head:]...) }
