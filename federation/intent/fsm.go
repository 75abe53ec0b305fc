package intent

import (
	"fmt"
	"slices"
	"sync"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// Config is what may differ between replicas: nothing in it has a part in what commands decide, but Unchecked.
type Config struct {
	// History is the number of changes a kind that can be watched from the past; 0: 2048.
	History int
	// Unchecked are further kinds, whose values are opaque and are stored as they come. The API machinery's tests of
	// storages bring kinds of their own; a server has none.
	Unchecked []string
	// Feed are the options of the intent feed.
	Feed feed.Options
	// Level is the highest level of commands that this replica knows, as an older build would; 0: Level.
	Level uint32

	// broken breaks rules on purpose. Only tests set it.
	broken breakage
	// limits of the answers; zero: the real ones, which must be the same on every replica.
	answers limits
}

const defaultHistory = 2048

// Validate finds what is wrong with the configuration.
func (c Config) Validate() error {
	if c.History < 0 {
		return fmt.Errorf("intent: history %d: must not be negative", c.History)
	}
	if c.Level > Level {
		return fmt.Errorf("intent: level %d: this version knows up to %d", c.Level, Level)
	}
	for _, kind := range c.Unchecked {
		if kind == "" || slices.Contains(v1alpha1.Kinds(), kind) {
			return fmt.Errorf("intent: unchecked kind %q: must be a name other than %q", kind, v1alpha1.Kinds())
		}
	}
	return nil
}

// FSM is the state machine. Apply, Snapshot and Restore are for the Raft log, which calls one at a time; everything
// else may be called from any goroutine at any time, and only reads.
type FSM struct {
	config Config
	feed   *feed.Log

	mu        sync.RWMutex
	state     state
	answers   *answers
	histories map[string]*history
	restores  uint64 // how many there were
	// wake is closed when revision or applied has grown.
	wake chan struct{}
	// owned is closed when the ownership has changed.
	owned chan struct{}
	// membersNews is closed when servers, tokens or the level have changed.
	membersNews chan struct{}
}

// New makes an empty FSM.
func New(config Config) (*FSM, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.History == 0 {
		config.History = defaultHistory
	}
	if config.Level == 0 {
		config.Level = Level
	}
	if config.answers == (limits{}) {
		config.answers = limits{count: maxAnswers, bytes: maxAnswerBytes}
	}
	f := &FSM{
		config:    config,
		feed:      feed.NewLog(feed.IntentID, feed.Filter{}, config.Feed),
		state:     newState(),
		answers:   newAnswers(config.answers),
		histories: map[string]*history{},
		wake:      make(chan struct{}),
		owned:     make(chan struct{}),

		membersNews: make(chan struct{}),
	}
	for _, kind := range f.kinds() {
		f.histories[kind] = newHistory(config.History, f.state.objects, f.state.revision)
	}
	return f, nil
}

// kinds are all that are known.
func (f *FSM) kinds() []string { return append(v1alpha1.Kinds(), f.config.Unchecked...) }

func (f *FSM) unchecked(kind string) bool { return slices.Contains(f.config.Unchecked, kind) }

// Check says whether an encoded command may go into the log, or why Apply would stop a node: this one, or with a
// LevelError one that knows less. A leader asks before it proposes.
func (f *FSM) Check(encoded []byte) error {
	command, err := f.decode(encoded)
	if err != nil || f.config.broken.has(brokenLevelGate) {
		return err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.members.allowed(command)
}

func (f *FSM) decode(encoded []byte) (*intentpb.Command, error) {
	command, err := Decode(encoded)
	if err != nil {
		return nil, err
	}
	if needs, more := beyond(command, f.config.Level); more {
		return nil, fmt.Errorf("%w: %s: %w", ErrCommand, whatOf(command), &ErrLevel{Has: needs, Knows: f.config.Level})
	}
	kind, _ := subject(command)
	if kind == "" {
		return command, nil // a typed command
	}
	if _, ok := f.histories[kind]; !ok { // the map itself never changes after New
		return nil, fmt.Errorf("%w: kind %q: this version knows %q", ErrCommand, kind, f.kinds())
	}
	return command, nil
}

// Feed is the intent feed: specs, ownership maps and store orders, with the revision as sequence. The FSM is its only
// writer.
func (f *FSM) Feed() *feed.Log { return f.feed }

// Revision is the present revision.
func (f *FSM) Revision() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.revision
}

// Incarnation is that of the intent; 0 before the first command.
func (f *FSM) Incarnation() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.incarnation
}

// AppliedIndex is the Raft index of the last command that was applied; 0 when there was none.
func (f *FSM) AppliedIndex() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.applied
}
