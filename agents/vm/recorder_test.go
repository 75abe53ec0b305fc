package vm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
)

// soon bounds what happens at once but for a busy machine.
const soon = 2 * time.Minute

// soon is how long what is right is waited for; what a planted bug prevents, it prevents for good.
func (b breakage) soon() time.Duration {
	if b == (breakage{}) {
		return soon
	}
	return 3 * time.Second
}

// poll is the tests' safety net; what events find, they find sooner.
const poll = 400 * time.Millisecond

// never is the poll of a test in which events find everything.
const never = time.Hour

// recorder is a sink that holds what a feed would, and remembers everything that was ever shown.
type recorder struct {
	mu      sync.Mutex
	changed chan struct{} // closed at each call
	records map[string][]byte
	// replaced counts the whole sets.
	replaced int
	problem  error
	// seen is each "service address:port STATE" that was ever shown.
	seen map[string]bool
	// last is what was shown last, and dropped what was shown once and then not, in any state.
	last    []string
	dropped []string
}

func newRecorder() *recorder {
	return &recorder{changed: make(chan struct{}), records: map[string][]byte{}, seen: map[string]bool{}}
}

func (r *recorder) Replace(whole []feed.Change) error { return r.take(whole, true) }
func (r *recorder) Apply(changes []feed.Change) error { return r.take(changes, false) }

func (r *recorder) Problem(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem = err
	r.wake()
}

func (r *recorder) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) take(changes []feed.Change, whole bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if whole {
		r.replaced++
		r.records = map[string][]byte{}
	} else if r.replaced == 0 {
		return errors.New("changes before the whole set")
	}
	for _, c := range changes {
		if c.Value == nil {
			delete(r.records, c.Kind+" "+c.Key)
			continue
		}
		if err := model.Check(c.Kind, c.Key, c.Value); err != nil {
			return err
		}
		r.records[c.Kind+" "+c.Key] = c.Value
	}
	shown := r.shown()
	for _, old := range r.last {
		instance := old[:strings.LastIndex(old, " ")+1]
		if !slices.ContainsFunc(shown, func(s string) bool { return strings.HasPrefix(s, instance) }) {
			r.dropped = append(r.dropped, old)
		}
	}
	r.last = shown
	for _, s := range shown {
		r.seen[s] = true
	}
	r.wake()
	return nil
}

// shown lists the endpoints as "service address:port STATE", sorted. The lock is held.
func (r *recorder) shown() []string {
	shown := []string{}
	for key, value := range r.records {
		kind, key, _ := strings.Cut(key, " ")
		if kind != model.KindEndpointSlice {
			continue
		}
		slice, _ := model.DecodeEndpointSlice(key, value)
		for _, e := range slice.Endpoints {
			shown = append(shown, fmt.Sprintf("%s %s:%d %s", slice.Service, e.Address, e.Ports[0],
				strings.TrimPrefix(e.State.String(), "ENDPOINT_STATE_")))
		}
	}
	slices.Sort(shown)
	return shown
}

func (r *recorder) services() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for key := range r.records {
		if name, ok := strings.CutPrefix(key, model.KindService+" "); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// until waits for a state of the recorder, and says what it was instead when it does not come.
func (r *recorder) until(patience time.Duration, want string, ok func() bool) error {
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		good, changed := ok(), r.changed
		r.mu.Unlock()
		if good {
			return nil
		}
		select {
		case <-changed:
		case <-deadline:
			r.mu.Lock()
			defer r.mu.Unlock()
			return fmt.Errorf("after %s: want %s, shown %v, problem %v", patience, want, r.shown(), r.problem)
		}
	}
}

// shows waits until exactly these endpoints are shown.
func (r *recorder) shows(want ...string) error {
	slices.Sort(want)
	return r.until(soon, fmt.Sprint(want), func() bool { return r.replaced > 0 && slices.Equal(r.shown(), want) })
}

// complains waits for a problem with this text; "" is none.
func (r *recorder) complains(text string) error {
	return r.until(soon, "problem "+text, func() bool {
		return r.problem == nil && text == "" || r.problem != nil && text != "" && strings.Contains(r.problem.Error(), text)
	})
}

func (r *recorder) everSaw(shown string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[shown]
}

var errRefused = errors.New("refused")

// refusing is a sink that takes nothing.
type refusing struct{ *recorder }

func (refusing) Replace([]feed.Change) error { return errRefused }
