package consensus

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// Tail is what Replay found in a folder, and so what may be lost with it: what it does not hold, although others may have
// acknowledged it, and what it holds behind its snapshot although nobody may have.
type Tail struct {
	Node   string // whose folder it is
	Folder Folder
	// Index and Term are those of the last entry, applied or not a command; of the snapshot if there is none behind it.
	Index, Term uint64
	// SnapshotIndex and SnapshotTerm are those of the snapshot that the replay began with; 0 without one. All up to it
	// is committed; of each later entry this folder alone cannot tell.
	SnapshotIndex, SnapshotTerm uint64
	// Commands is how many commands were applied behind the snapshot.
	Commands int
	// CurrentTerm is the highest term that the node took part in. If it is above Term, there were later leaders.
	CurrentTerm uint64
	// Members is the last configuration in the folder.
	Members []MemberStatus
}

// Replay applies all that a folder holds, its snapshot and then its whole log, to an empty machine, while no process
// uses the folder. It writes nothing: what a node would mend at its start is mended in memory. Only Dir, FS and, if it
// is to be checked, ID of the configuration are used.
func Replay(cfg Config, to StateMachine) (Tail, error) {
	cfg = cfg.withDefaults()
	t := Tail{Node: cfg.ID}
	claim, err := claimMade(cfg.FS, cfg.Dir)
	if err != nil {
		return t, fmt.Errorf("consensus: replay: %w: %s: %w", ErrFolder, cfg.Dir, err)
	}
	defer claim.Close()
	cfg.FS = newOverlay(cfg.FS)
	d, failed := offlineDisk(&cfg)
	if t.Node, err = nodeOf(d, cfg.Dir); err != nil {
		return t, fmt.Errorf("consensus: replay: %w: %s: %w", ErrFolder, cfg.Dir, err)
	}
	if cfg.ID == "" {
		cfg.ID = t.Node
	}
	f, err := openFolder(&cfg, d, newLogger(cfg.Logger, "replay"), mustExist, nil)
	if err != nil {
		return t, fmt.Errorf("consensus: replay: %w", err)
	}
	m := newMachine(to, d.die)
	err = f.replay(m, &t)
	if err = errors.Join(err, failed(), f.close()); err != nil {
		return t, fmt.Errorf("consensus: replay: %w: %s: %w", ErrFolder, cfg.Dir, err)
	}
	return t, nil
}

func (f *folder) replay(m *machine, t *Tail) (err error) {
	t.Folder = f.describe()
	if t.CurrentTerm, err = f.store.GetUint64(currentTermKey); err != nil {
		return err
	}
	if err := f.replaySnapshot(m, t); err != nil {
		return err
	}
	first, err := f.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := f.log.LastIndex()
	if err != nil {
		return err
	}
	if last > t.SnapshotIndex && first > t.SnapshotIndex+1 {
		return fmt.Errorf("its snapshot ends at entry %d and its log begins with entry %d", t.SnapshotIndex, first)
	}
	for i := t.SnapshotIndex + 1; i <= last; i++ {
		var entry raft.Log
		if err := f.log.GetLog(i, &entry); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		t.Index, t.Term = entry.Index, entry.Term
		switch entry.Type {
		case raft.LogCommand:
			if m.Apply(&entry); m.dead.Load() {
				return nil // the disk's failure says why
			}
			t.Commands++
		case raft.LogConfiguration:
			t.configure(raft.DecodeConfiguration(entry.Data))
		}
	}
	return nil
}

// replaySnapshot begins with the newest snapshot that is whole.
func (f *folder) replaySnapshot(m *machine, t *Tail) error {
	found, err := f.snaps.List()
	if err != nil {
		return err
	}
	for _, s := range found {
		meta, content, err := f.snaps.Open(s.ID)
		if err != nil {
			f.snaps.logger.Warn("snapshot is not usable", "name", s.ID, "error", err)
			continue
		}
		t.Index, t.Term = meta.Index, meta.Term
		t.SnapshotIndex, t.SnapshotTerm = meta.Index, meta.Term
		t.configure(meta.Configuration)
		return errors.Join(m.Restore(content), content.Close())
	}
	return nil
}

func (t *Tail) configure(c raft.Configuration) {
	t.Members = nil
	for _, s := range c.Servers {
		t.Members = append(t.Members, MemberStatus{Member: Member{ID: string(s.ID), Address: string(s.Address)},
			Voter: s.Suffrage == raft.Voter, LastHeard: -1})
	}
}
