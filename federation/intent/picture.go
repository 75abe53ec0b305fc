package intent

import "pentad.dev/pentad/federation/intent/intentpb"

// Picture is Snapshot with the header of what it writes: for whoever keeps it outside of the Raft log.
func (f *FSM) Picture() (Snapshot, *intentpb.Header, error) {
	taken, err := f.Snapshot()
	if err != nil {
		return nil, nil, err
	}
	s := taken.(*snapshot).state
	return taken, &intentpb.Header{
		Incarnation: s.incarnation, Revision: s.revision, Applied: s.applied, Objects: uint64(s.tree.Len()),
		Level: max(s.members.level, firstLevel),
	}, nil
}
