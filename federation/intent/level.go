package intent

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/federation/intent/intentpb"
)

const (
	// Level is the highest level of commands that this build knows. Commands are only ever added, each with the level
	// from which it exists; a server that knows less would stop at it.
	Level = 3
	// firstLevel is that of a new estate, and of snapshots that say none.
	firstLevel = 1
)

// kindLevels are the levels of kinds that came later than the first.
var kindLevels = map[string]uint32{
	"Estate": 2,
}

// levelOf is the level from which a command exists; what an object in it uses may need more.
func levelOf(command *intentpb.Command) uint32 {
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_SetLiveness, *intentpb.Command_Reconcile:
		return 2
	case *intentpb.Command_RevokeToken:
		return 3
	case *intentpb.Command_RaiseLevel:
		return o.RaiseLevel.GetLevel() // who cannot know what comes after it stops before it
	}
	kind, _ := subject(command)
	return max(kindLevels[kind], firstLevel)
}

// beyond says that a command needs more than a level, and how much. Objects are only looked into where it matters: once
// all know the fields of livenessLevel, a declaration is not decoded a second time to find them.
func beyond(command *intentpb.Command, level uint32) (needs uint32, more bool) {
	needs = levelOf(command)
	if needs < livenessLevel && level < livenessLevel && (saysSilence(command.GetCreate()) || saysSilence(command.GetUpdate())) {
		needs = livenessLevel
	}
	return needs, needs > level
}

// LevelError says that a command may not be proposed yet: not all servers know it.
type LevelError struct {
	// What the command is about, as "kind Estate".
	What string
	// Needs is its level, Has that of the state.
	Needs, Has uint32
	// Behind are the servers that hold the estate back, as "server sz-a knows 1 (version 0.4.0)".
	Behind []string
}

// Error names who must be upgraded.
func (e *LevelError) Error() string {
	text := fmt.Sprintf("%s needs level %d, the estate is at %d: ", e.What, e.Needs, e.Has)
	if len(e.Behind) == 0 {
		return text + "all servers know it, the leader raises it within seconds"
	}
	return text + strings.Join(e.Behind, ", ") + ": upgrade it, or remove it"
}

// ErrLevel is what is wrong with a snapshot, or with an entry of the log, above what this server knows.
type ErrLevel struct{ Has, Knows uint32 }

func (e *ErrLevel) Error() string {
	return fmt.Sprintf("level %d: this server knows up to %d: it must run the version of Pentad that the others run",
		e.Has, e.Knows)
}

// Refusal is the answer to a command that may not go into the log because of its level: nothing was done, and asking
// again does not help before somebody is upgraded. False: err is something else.
func (f *FSM) Refusal(err error) (result []byte, ok bool) {
	var behind *LevelError
	var unknown *ErrLevel
	if !errors.As(err, &behind) && !errors.As(err, &unknown) {
		return nil, false
	}
	refused := field.ErrorList{field.Forbidden(field.NewPath("kind"), err.Error())}
	return Result{Revision: f.Revision(), Refused: refusals(refused)}.encode(), true
}

// allowed says whether a command that decodes may go into the log as the state is now.
func (m membership) allowed(command *intentpb.Command) error {
	needs, more := beyond(command, m.level)
	if command.GetRaiseLevel() != nil || !more {
		return nil
	}
	return &LevelError{What: whatOf(command), Needs: needs, Has: m.level, Behind: m.behind(needs)}
}

// behind names the servers that know less than a level.
func (m membership) behind(level uint32) []string {
	var names []string
	for _, s := range m.list() {
		if s.GetLevel() < level {
			names = append(names, fmt.Sprintf("server %s knows %d (version %s)", s.GetName(), s.GetLevel(), s.GetVersion()))
		}
	}
	return names
}

func whatOf(command *intentpb.Command) string {
	if kind, _ := subject(command); kind != "" {
		return "kind " + kind
	}
	m := command.ProtoReflect()
	return "command " + string(m.WhichOneof(m.Descriptor().Oneofs().ByName("operation")).Name())
}

// Level is the highest level of commands that may be in the log.
func (f *FSM) Level() uint32 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.members.level
}

// Knows is the highest level that this replica knows.
func (f *FSM) Knows() uint32 { return f.config.Level }

// Raisable is the level that all servers know, and whether that is more than the estate's. It is a leader's to propose.
func (f *FSM) Raisable() (level uint32, higher bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	servers := f.state.members.list()
	if len(servers) == 0 {
		return f.state.members.level, false
	}
	lowest := slices.MinFunc(servers, func(a, b *intentpb.Server) int { return int(a.GetLevel()) - int(b.GetLevel()) })
	level = min(lowest.GetLevel(), f.config.Level)
	return level, level > f.state.members.level
}
