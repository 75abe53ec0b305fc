package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// ErrNotWritten is what a Backend's error is when the command was surely not done, and never will be.
var ErrNotWritten = errors.New("nothing was written")

// ErrNoQuorum is ErrNotWritten because no leader has a majority.
var ErrNoQuorum error = noQuorum{}

type noQuorum struct{}

func (noQuorum) Error() string { return "no quorum" }

// Is makes it ErrNotWritten too, without saying so: reads fail with it as well.
func (noQuorum) Is(target error) bool { return target == ErrNotWritten }

// readPatience bounds a linearizable read: without a quorum a caller learns it soon.
const readPatience = time.Second

// Backend is the replicated intent as one server reaches it.
type Backend interface {
	// Propose replicates a command, on any server; it need not wait until State has applied it. Errors: ErrNoQuorum,
	// ErrNotWritten; after any other error the command may or may not be done.
	Propose(ctx context.Context, command *intentpb.Command) (intent.Result, error)
	// ReadRevision is a revision that holds every write acknowledged before the call.
	ReadRevision(ctx context.Context) (uint64, error)
	// State is this server's replica.
	State() *intent.FSM
}

// Intent is one kind of the replicated intent as a State. Keys are Prefix and the object's name.
type Intent struct {
	Backend Backend
	Kind    string
	Prefix  string
	// Resource is how the API names the kind: errors show it.
	Resource schema.GroupVersionResource
}

var _ State = Intent{}

func (s Intent) name(key string) string { return strings.TrimPrefix(key, s.Prefix) }

// Local implements State.
func (s Intent) Local() View { return intentView{state: s, view: s.Backend.State().View()} }

// Consistent implements State. It takes a second at most; its error says how to read what this server has.
func (s Intent) Consistent(ctx context.Context) (View, error) {
	bounded, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	revision, err := s.Backend.ReadRevision(bounded)
	if err == nil {
		err = s.Backend.State().WaitRevision(bounded, revision)
	}
	if err == nil {
		return s.Local(), nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if bounded.Err() != nil {
		err = fmt.Errorf("no leader answered within %s", readPatience)
	}
	return nil, apierrors.NewServiceUnavailable(fmt.Sprintf(
		"no consistent read (%v): it needs a quorum of the federation's servers, as writes do. What this server has, "+
			"which may be old, is served with resourceVersion=0: kubectl get --raw '/apis/%s/%s?resourceVersion=0'",
		err, s.Resource.GroupVersion(), s.Resource.Resource))
}

// At implements State.
func (s Intent) At(revision uint64) (View, error) {
	view, err := s.Backend.State().ViewAt(s.Kind, revision)
	if errors.Is(err, intent.ErrCompacted) {
		return nil, ErrCompacted
	}
	if err != nil {
		return nil, err
	}
	return intentView{state: s, view: view}, nil
}

// Reach implements State.
func (s Intent) Reach(ctx context.Context, revision uint64) error {
	return s.Backend.State().WaitRevision(ctx, revision)
}

// Compacted implements State.
func (s Intent) Compacted() uint64 { return s.Backend.State().Compacted(s.Kind) }

// Watch implements State.
func (s Intent) Watch(revision uint64) (Cursor, error) {
	cursor, err := s.Backend.State().Watch(s.Kind, revision)
	if errors.Is(err, intent.ErrCompacted) {
		return nil, ErrCompacted
	}
	if err != nil {
		return nil, err
	}
	return intentCursor{state: s, cursor: cursor}, nil
}

// Propose implements State. What the state machine refuses is 422 Invalid, with the fields; what could not be
// replicated is 503, and what may or may not have been is 504, so that a client can tell whether to repeat it.
func (s Intent) Propose(ctx context.Context, w Write) (Outcome, error) {
	if len(w.Value) > intent.MaxValue {
		return Outcome{}, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"%s %q has %d bytes as stored, at most %d are allowed", s.Kind, s.name(w.Key), len(w.Value), intent.MaxValue))
	}
	result, err := s.Command(ctx, s.name(w.Key), s.command(w))
	if err != nil {
		return Outcome{}, err
	}
	if len(result.Refused) > 0 {
		kind := schema.GroupKind{Group: s.Resource.Group, Kind: s.Kind}
		return Outcome{}, apierrors.NewInvalid(kind, s.name(w.Key), result.Errors())
	}
	outcome := Outcome{OK: result.OK, Revision: result.Revision}
	if result.Current != nil {
		current := s.item(result.Current)
		outcome.Current = &current
	}
	return outcome, nil
}

// Command replicates a command that is about the object of a name, and gives it an id and the time. What the state
// machine refuses is in the result; an error is as Propose's.
func (s Intent) Command(ctx context.Context, name string, command *intentpb.Command) (intent.Result, error) {
	id := uuid.New()
	command.Id, command.ProposedAtUnixMs = id[:], time.Now().UnixMilli()
	result, err := s.Backend.Propose(ctx, command)
	switch {
	case errors.Is(err, ErrNoQuorum):
		return result, apierrors.NewServiceUnavailable(fmt.Sprintf("nothing was written: %v. A write needs a majority "+
			"of the federation's servers: see which of them are up and reach each other, then repeat the request", err))
	case errors.Is(err, ErrNotWritten):
		return result, apierrors.NewServiceUnavailable(fmt.Sprintf("%v: repeat the request", err))
	case err != nil:
		return result, apierrors.NewTimeoutError(fmt.Sprintf(
			"outcome unknown: the write may or may not be done (%v). Read %s %q before you repeat the request",
			err, s.Kind, name), 0)
	}
	return result, nil
}

func (s Intent) command(w Write) *intentpb.Command {
	command := &intentpb.Command{}
	name := s.name(w.Key)
	switch {
	case w.Value == nil:
		command.Operation = &intentpb.Command_Delete{
			Delete: &intentpb.Delete{Kind: s.Kind, Name: name, ExpectRevision: w.Expect},
		}
	case w.Expect == 0:
		command.Operation = &intentpb.Command_Create{Create: &intentpb.Create{Kind: s.Kind, Name: name, Value: w.Value}}
	default:
		command.Operation = &intentpb.Command_Update{
			Update: &intentpb.Update{Kind: s.Kind, Name: name, Value: w.Value, ExpectRevision: w.Expect},
		}
	}
	return command
}

func (s Intent) item(object *intent.Object) Item {
	return Item{Key: s.Prefix + object.Name, Value: object.Value, Revision: object.Revision}
}

type intentView struct {
	state Intent
	view  intent.View
}

func (v intentView) Revision() uint64 { return v.view.Revision() }

func (v intentView) Get(key string) (Item, bool) {
	object, found := v.view.Get(v.state.Kind, v.state.name(key))
	if !found {
		return Item{}, false
	}
	return v.state.item(object), true
}

func (v intentView) Range(prefix, start string, yield func(Item) bool) {
	names := v.state.name(prefix)
	if start == "" {
		start = prefix
	}
	v.view.Range(v.state.Kind, v.state.name(start), func(object *intent.Object) bool {
		return strings.HasPrefix(object.Name, names) && yield(v.state.item(object))
	})
}

type intentCursor struct {
	state  Intent
	cursor *intent.Cursor
}

func (c intentCursor) Next(ctx context.Context, tick <-chan time.Time) ([]Event, uint64, error) {
	changes, reached, err := c.cursor.Next(ctx, tick)
	if errors.Is(err, intent.ErrCompacted) {
		return nil, 0, ErrCompacted
	}
	if err != nil {
		return nil, 0, err
	}
	events := make([]Event, 0, len(changes))
	for _, change := range changes {
		event := Event{Revision: change.Revision, Key: c.state.Prefix + change.Name}
		if change.Object != nil {
			event.Value = change.Object.Value
		}
		if change.Prev != nil {
			event.Prev = change.Prev.Value
		}
		events = append(events, event)
	}
	return events, reached, nil
}
