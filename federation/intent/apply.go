package intent

import (
	"fmt"

	"pentad.dev/pentad/federation/feed"
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
	e := f.begin(index, command)
	result := e.execute(command)
	answer := result.encode()
	f.publish(e, command.GetId(), answer)
	return answer
}

// begin starts an entry on a copy of the state.
func (f *FSM) begin(index uint64, command *intentpb.Command) *entry {
	e := &entry{f: f, state: f.state, at: proposedAt(command)}
	e.state.applied = index
	if e.state.incarnation == 0 {
		e.state.begin(uint64(unixSeconds(command)))
		if f.config.broken.has(brokenEpochStart) {
			e.state.ownership.Epoch = 0
		}
	}
	e.before = e.state.ownership
	return e
}

// begin starts an incarnation: of revisions, and of epochs.
func (s *state) begin(incarnation uint64) {
	s.incarnation = incarnation
	s.revision = incarnation << revisionBits
	s.ownership.Epoch = incarnation << revisionBits
}

// publish shows an entry to readers: state, history and feed at once, so that who saw one sees the others too, and
// nobody sees half of an entry.
func (f *FSM) publish(e *entry, id, answer []byte) {
	records := e.records()
	f.mu.Lock()
	defer f.mu.Unlock()
	moved := e.state.revision != f.state.revision
	f.state = e.state
	f.answers.add(id, answer)
	for _, event := range e.events {
		f.histories[event.Kind].add(event)
		if f.config.broken.has(brokenOneHistory) {
			f.compact(f.histories[event.Kind].compacted)
		}
	}
	if moved {
		f.commitFeed(records)
	}
	if e.owned {
		f.ownershipNews()
	}
	if e.membersMoved {
		f.tellMembers()
	}
	f.news()
}

// commitFeed brings the feed to the present revision, in one commit for the whole entry. The lock is held: nobody sees
// the one without the other.
func (f *FSM) commitFeed(changes []feed.Change) {
	if f.config.broken.has(brokenFeedProgress) && f.same(changes) {
		return
	}
	if f.config.broken.has(brokenFeedPieces) {
		f.commitPieces(&changes)
	}
	if err := f.feed.CommitAt(f.state.position(), changes...); err != nil {
		panic(fmt.Sprintf("intent: the feed cannot follow to revision %d: %v", f.state.revision, err))
	}
}
