package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/hashicorp/raft"
)

// The seed of a cluster stands where otherwise the first entry does.
const seedIndex, seedTerm = 1, 1

// Seed makes the folder of a new cluster whose first state is a snapshot, as StateMachine.Restore reads it, instead of an
// empty log. Only Dir, ID and FS of the configuration are used, and the folder must be new or empty. members are the
// voters, this node among them; a roster that does not say this node's folder gets the new one. A crash leaves a folder
// that is empty for the next attempt. The other members, if any, bootstrap nothing: they enroll and get the snapshot.
func Seed(cfg Config, cluster string, roster map[string]string, members []Member, snapshot func(io.Writer) error) error {
	if err := checkMembers("members", members); err != nil {
		return fmt.Errorf("consensus: seed: %w", err)
	}
	cfg = cfg.withDefaults()
	d, failed := offlineDisk(&cfg)
	f, err := openFolder(&cfg, d, newLogger(cfg.Logger, "seed"), mustMake, func(f *folder) error {
		roster := maps.Clone(roster)
		if roster == nil {
			roster = map[string]string{}
		}
		if roster[cfg.ID] == "" {
			roster[cfg.ID] = f.id
		}
		if err := f.enroll(cfg.ID, enrolment{Cluster: cluster, Roster: roster}, &plants{}); err != nil {
			return err
		}
		return f.plantSeed(cfg.ID, configurationOf(members), snapshot)
	})
	if err == nil {
		err = f.close()
	}
	if err = errors.Join(err, failed()); err != nil {
		return fmt.Errorf("consensus: seed: %w", err)
	}
	return nil
}

// plantSeed writes the first snapshot and its term.
func (f *folder) plantSeed(id string, c raft.Configuration, snapshot func(io.Writer) error) error {
	voter := false
	for _, s := range c.Servers {
		voter = voter || string(s.ID) == id
	}
	if !voter {
		return fmt.Errorf("members: no member has this node's id %q", id)
	}
	sink, err := f.snaps.Create(raft.SnapshotVersionMax, seedIndex, seedTerm, c, seedIndex, nil)
	if err != nil {
		return err
	}
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], seedIndex)
	if _, err = sink.Write(head[:]); err == nil {
		err = snapshot(sink)
	}
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	return f.store.SetUint64(currentTermKey, seedTerm)
}

// offlineDisk is the disk of a command that runs beside no node: what would end a node is what failed returns.
func offlineDisk(cfg *Config) (d *disk, failed func() error) {
	died := make(chan error, 1)
	d = &disk{FS: cfg.FS, timeout: cfg.DiskTimeout, synced: func(time.Duration) {}, plants: &cfg.break_, die: func(err error) {
		select {
		case died <- err:
		default:
		}
	}}
	return d, func() error {
		select {
		case err := <-died:
			return err
		default:
			return nil
		}
	}
}
