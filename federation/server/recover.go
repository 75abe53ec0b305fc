package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pentad.dev/pentad/federation/backup"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/process"
)

// recoveredFolder is where the new log is made, beside the old one.
const recoveredFolder = "raft.recovered"

// Recovery is a Restoration from what a survivor holds when the majority is lost for good.
type Recovery struct {
	Restoration
	held    *process.DataDir
	machine *intent.FSM
	header  backup.Header
	// Tail is what the folder holds.
	Tail consensus.Tail
}

// Recovered is what came of it.
type Recovered struct {
	NewLife
	// Backup has the state of before, as a backup, and Old is the folder of before.
	Backup, Old string
}

// OpenRecovery claims a stopped server's data folder, and reads what it holds: MayBeLost(Tail) says what its operator
// must know. Nothing has changed. Close gives the folder back.
func OpenRecovery(r Restoration) (_ *Recovery, err error) {
	r.defaults()
	dir := r.Config.DataDir
	if _, err := os.Stat(filepath.Join(dir, raftFolder)); errors.Is(err, fs.ErrNotExist) {
		return nil, process.Usagef("data folder %s holds no state: this server has nothing to recover", dir)
	} else if err != nil {
		return nil, &process.UsageError{Err: err}
	}
	if err := ownedBy(dir, r.Config.Name); err != nil {
		return nil, err
	}
	rec := &Recovery{Restoration: r}
	if rec.held, err = process.OpenDataDir(dir, r.Config.owner()); err != nil {
		return nil, err
	}
	if rec.machine, rec.Tail, err = replay(dir, r.Config.Name); err != nil {
		rec.held.Close()
		return nil, err
	}
	picture, about, err := rec.machine.Picture()
	if err != nil {
		rec.held.Close()
		return nil, err
	}
	picture.Release()
	rec.header = describing(about, backup.Header{
		Cluster: rec.Tail.Folder.Cluster, Server: rec.Tail.Node, Index: rec.Tail.Index, Term: rec.Tail.Term, Taken: r.Now(),
	})
	return rec, nil
}

// Close gives the data folder back.
func (r *Recovery) Close() { r.held.Close() }

// Recover makes the state of the folder the first of a new life. The old log is put aside, whole, with a backup of its
// state. Each step leaves the old log in its place or the new one, whole: to be interrupted costs nothing but to begin
// again, and nothing is ever deleted.
func (r *Recovery) Recover() (Recovered, error) {
	dir := r.Config.DataDir
	stamp := r.Now().UTC().Format("20060102T150405Z")
	out := Recovered{
		Backup: vacant(filepath.Join(dir, "before-recovery-"+stamp+".pentad")),
		Old:    vacant(filepath.Join(dir, raftFolder+".before-"+stamp)),
	}
	r.steps("backup")
	if err := r.backUp(out.Backup); err != nil {
		return out, err
	}
	r.steps("put a leftover aside")
	fresh := filepath.Join(dir, recoveredFolder)
	if _, err := os.Lstat(fresh); err == nil { // of an attempt that was interrupted: perhaps the old log
		if err := os.Rename(fresh, vacant(filepath.Join(dir, raftFolder+".left-"+stamp))); err != nil {
			return out, err
		}
	}
	seed, err := r.reborn(r.machine, r.header)
	if err != nil {
		return out, err
	}
	out.NewLife = seed.life
	r.steps("seed")
	if err := seed.plant(fresh); err != nil {
		return out, err
	}
	r.steps("exchange")
	if err := exchange(fresh, filepath.Join(dir, raftFolder)); err != nil {
		return out, fmt.Errorf("exchange %s and %s: %w: nothing has changed; restore %s into the folder of another file system "+
			"instead", fresh, raftFolder, err, out.Backup)
	}
	r.steps("sync")
	if err := syncFolder(dir); err != nil {
		return out, err
	}
	r.steps("put the old log aside")
	if err := os.Rename(fresh, out.Old); err != nil {
		return out, err
	}
	r.steps("sync again")
	return out, syncFolder(dir)
}

// backUp writes the state of before.
func (r *Recovery) backUp(path string) error {
	write, err := pictured(r.machine, r.header)
	if err != nil {
		return err
	}
	return process.WriteFile(path, write)
}

// vacant is a path at which nothing is yet.
func vacant(path string) string {
	free := path
	for n := 2; ; n++ {
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			return free
		}
		free = fmt.Sprintf("%s-%d", path, n)
	}
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
