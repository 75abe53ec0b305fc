package intent

import (
	"fmt"

	"pentad.dev/pentad/federation/intent/intentpb"
)

// Apply applies the command at an index of the Raft log and returns its encoded Result. It depends on nothing but the
// state and the command. An entry that is no command panics: a replica that went on without it would differ from the
// others for ever, and nobody would know.
func (f *FSM) Apply(index uint64, encoded []byte) []byte {
	command, err := f.decode(encoded)
	if err != nil {
		if f.config.broken.has(brokenDecode) {
			return Result{Revision: f.Revision()}.encode()
		}
		panic(fmt.Sprintf("intent: entry %d of the Raft log: %v: this node must not go on: "+
			"run the version of Pentad that wrote it", index, err))
	}
	if result, ok := f.answers.get(command.GetId()); ok && !f.config.broken.has(brokenNoDedup) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.state.applied = index
		f.news()
		return result
	}
	// Only Apply and Restore write, one at a time: the state can be read without the lock.
	next := f.state
	next.applied = index
	if next.incarnation == 0 {
		next.begin(uint64(unixSeconds(command)))
	}
	result, event := f.execute(&next, command)
	answer := result.encode()
	f.publish(next, event, command.GetId(), answer)
	return answer
}

// begin starts an incarnation.
func (s *state) begin(incarnation uint64) {
	s.incarnation = incarnation
	s.revision = incarnation << revisionBits
}

// step is the revision of one more changed object. (A counter that overflows, after two thousand million changes, runs
// on into the bits of the incarnation, which keeps the revision growing; the next incarnation is taken above it.)
func (f *FSM) step(s *state) uint64 {
	s.revision++
	if f.config.broken.has(brokenRevisionIsIndex) {
		s.revision = s.incarnation<<revisionBits + s.applied
	}
	return s.revision
}

// execute carries a command out on a state; the event is nil when nothing changed.
func (f *FSM) execute(s *state, command *intentpb.Command) (Result, *Event) {
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_Create:
		return f.create(s, o.Create)
	case *intentpb.Command_Update:
		return f.update(s, o.Update)
	case *intentpb.Command_Delete:
		return f.delete(s, o.Delete)
	}
	panic("intent: unreachable: decoded commands have an operation")
}

func (f *FSM) create(s *state, c *intentpb.Create) (Result, *Event) {
	if current, ok := s.get(c.GetKind(), c.GetName()); ok {
		return Result{Revision: s.revision, Current: current}, nil
	}
	object, errs := f.judge(s, c.GetKind(), c.GetName(), c.GetValue(), nil)
	if len(errs) > 0 {
		return Result{Revision: s.revision, Refused: refusals(errs)}, nil
	}
	object.Revision = f.step(s)
	object.Created = object.Revision
	return f.put(s, object, nil)
}

func (f *FSM) update(s *state, u *intentpb.Update) (Result, *Event) {
	current, ok := s.get(u.GetKind(), u.GetName())
	if !ok || current.Revision != u.GetExpectRevision() {
		return Result{Revision: s.revision, Current: current}, nil
	}
	object, errs := f.judge(s, u.GetKind(), u.GetName(), u.GetValue(), current)
	if len(errs) > 0 {
		return Result{Revision: s.revision, Refused: refusals(errs)}, nil
	}
	object.Revision, object.Created = f.step(s), current.Created
	return f.put(s, object, current)
}

func (f *FSM) put(s *state, object, prev *Object) (Result, *Event) {
	s.objects = s.with(object)
	return Result{OK: true, Revision: s.revision}, &Event{
		Revision: s.revision, Kind: object.Kind, Name: object.Name, Object: object, Prev: prev, after: s.objects,
	}
}

func (f *FSM) delete(s *state, d *intentpb.Delete) (Result, *Event) {
	current, ok := s.get(d.GetKind(), d.GetName())
	if !ok || current.Revision != d.GetExpectRevision() ||
		d.GetUid() != "" && current.decoded != nil && string(current.decoded.GetUID()) != d.GetUid() {
		return Result{Revision: s.revision, Current: current}, nil
	}
	if errs := f.judgeDelete(s, current); len(errs) > 0 {
		return Result{Revision: s.revision, Refused: refusals(errs)}, nil
	}
	f.step(s)
	s.objects = s.without(current)
	return Result{OK: true, Revision: s.revision}, &Event{
		Revision: s.revision, Kind: current.Kind, Name: current.Name, Prev: current, after: s.objects,
	}
}

// publish shows a step to readers: state, history and feed at once, so that who saw one sees the others too.
func (f *FSM) publish(next state, event *Event, id, result []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	moved := next.revision != f.state.revision
	f.state = next
	f.answers.add(id, result)
	if event != nil {
		f.histories[event.Kind].add(*event)
		if f.config.broken.has(brokenOneHistory) {
			f.compact(f.histories[event.Kind].compacted)
		}
	}
	if moved {
		f.commitFeed(event)
	}
	f.news()
}
