package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"pentad.dev/pentad/federation/backup"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/process"
)

// Restoration brings an estate back under a new life, with one server: the others join it with tokens.
type Restoration struct {
	// Config is the server's.
	Config Config
	// LongestPermit is the longest that a permit may have been since the backup; 0: the longest there is. Nothing takes
	// writes for that long.
	LongestPermit time.Duration
	// Now is the time; nil: the system's.
	Now func() time.Time
	// FS is the file system under the Raft log; nil: the operating system's, and the data folder is claimed first.
	FS consensus.FS

	// step is called before each change of the disk. Tests end there.
	step func(what string)
}

// NewLife is what came of a Restoration.
type NewLife struct {
	// From is what the state was of.
	From backup.Header
	// Cluster is the estate's new id.
	Cluster     string
	Incarnation uint64
	Revision    uint64
	Objects     uint64
}

func (r *Restoration) steps(what string) {
	if r.step != nil {
		r.step(what)
	}
}

func (r *Restoration) defaults() {
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.LongestPermit == 0 {
		r.LongestPermit = intent.LongestPermit
	}
}

// Restore makes the data folder of the configuration from a backup. The folder must be empty. A backup that is not whole
// or of a later version, a folder that is not empty or another's, a clock that is behind: a UsageError, and nothing on
// disk has changed.
func (r Restoration) Restore(file io.Reader) (NewLife, error) {
	r.defaults()
	f, header, err := readBackup(file)
	if err != nil {
		return NewLife{}, err
	}
	seed, err := r.reborn(f, header)
	if err != nil {
		return NewLife{}, err
	}
	dir := filepath.Join(r.Config.DataDir, raftFolder)
	if r.FS != nil {
		return seed.life, seed.plant(dir)
	}
	if err := empty(r.Config.DataDir, r.Config.Name); err != nil {
		return NewLife{}, err
	}
	r.steps("claim")
	held, err := process.OpenDataDir(r.Config.DataDir, r.Config.owner())
	if err != nil {
		return NewLife{}, err
	}
	defer held.Close()
	r.steps("seed")
	return seed.life, seed.plant(dir)
}

func (c *Config) owner() string { return "server " + c.Name }

// readBackup reads a file to its end, and makes a state machine of it.
func readBackup(file io.Reader) (*intent.FSM, backup.Header, error) {
	in, err := backup.Read(file)
	if err != nil {
		return nil, backup.Header{}, &process.UsageError{Err: err}
	}
	f, err := intent.New(intent.Config{})
	if err != nil {
		return nil, backup.Header{}, err
	}
	err = f.Restore(in)
	if damage := in.Verify(); damage != nil { // what it would be worth is no question then
		return nil, backup.Header{}, &process.UsageError{Err: damage}
	}
	if err != nil {
		return nil, backup.Header{}, process.Usagef("the backup is whole, and this build cannot read its state: %w", err)
	}
	h := in.Header()
	if h.Incarnation != f.Incarnation() || h.Revision != f.Revision() || h.Level != f.Level() {
		return nil, backup.Header{}, process.Usagef("%w: its header is not of its state", backup.ErrFile)
	}
	return f, h, nil
}

// seed is a state that is ready to be the first of a new life.
type seed struct {
	life    NewLife
	folder  string
	member  consensus.Member
	fs      consensus.FS
	machine *intent.FSM
}

// reborn has the state begin a new life in memory.
func (r *Restoration) reborn(f *intent.FSM, from backup.Header) (*seed, error) {
	now := r.Now()
	if early := from.Taken.Sub(now); early > clockSlack {
		return nil, process.Usagef("this machine's clock says %s, and the state is of %s: set the clock, since the new life "+
			"must be known to be later than all before", now.UTC().Format(time.RFC3339), from.Taken.UTC().Format(time.RFC3339))
	}
	cluster, err := uuid.NewRandom()
	if err != nil {
		return nil, err
	}
	folder, err := uuid.NewRandom()
	if err != nil {
		return nil, err
	}
	at := r.Config.advertised()
	self := &intentpb.Server{
		Name: r.Config.Name, Region: r.Config.Region, Center: r.Config.Center, Folder: folder.String(),
		Raft: at.Raft, Grpc: at.GRPC, Api: at.API, Level: f.Knows(), Version: process.Version(), Voter: true,
	}
	if err := f.Reincarnate(now, self, r.LongestPermit); err != nil {
		return nil, &process.UsageError{Err: err}
	}
	picture, about, err := f.Picture()
	if err != nil {
		return nil, err
	}
	picture.Release()
	return &seed{
		life: NewLife{From: from, Cluster: cluster.String(), Incarnation: about.GetIncarnation(), Revision: about.GetRevision(),
			Objects: about.GetObjects()},
		folder: folder.String(), member: consensus.Member{ID: r.Config.Name, Address: at.Raft}, fs: r.FS, machine: f,
	}, nil
}

// plant makes the folder of the Raft log, whose first snapshot is the state.
func (s *seed) plant(dir string) error {
	picture, err := s.machine.Snapshot()
	if err != nil {
		return err
	}
	defer picture.Release()
	err = consensus.Seed(consensus.Config{ID: s.member.ID, Dir: dir, FS: s.fs, NewFolder: s.folder}, s.life.Cluster, nil,
		[]consensus.Member{s.member}, func(w io.Writer) error {
			_, err := picture.WriteTo(w)
			return err
		})
	if errors.Is(err, consensus.ErrFolder) {
		return &process.UsageError{Err: err}
	}
	return err
}

// empty refuses a data folder that holds anything, or is another's. What an interrupted restore has left is nothing.
func empty(dataDir, name string) error {
	entries, err := os.ReadDir(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &process.UsageError{Err: err}
	}
	var there []string
	for _, e := range entries {
		there = append(there, e.Name())
	}
	unfinished := func(what string) bool {
		switch what {
		case "LOCK", "VERSION", "lost+found":
			return true
		case raftFolder:
			_, err := os.Stat(filepath.Join(dataDir, raftFolder, "VERSION"))
			_, making := os.Stat(filepath.Join(dataDir, raftFolder, "MAKING"))
			return errors.Is(err, fs.ErrNotExist) || making == nil
		}
		return false
	}
	there = slices.DeleteFunc(there, unfinished)
	if len(there) > 0 {
		return process.Usagef("data folder %s is not empty, it holds %q: restore into an empty one, or, to go on with what this "+
			"server holds, use pentad recover", dataDir, there)
	}
	return ownedBy(dataDir, name)
}

// ownedBy refuses another server's data folder without touching it.
func ownedBy(dataDir, name string) error {
	have, err := os.ReadFile(filepath.Join(dataDir, "VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &process.UsageError{Err: err}
	}
	if want := fmt.Sprintf("1 server %s\n", name); string(have) != want {
		return process.Usagef("data folder %s belongs to %q, not to %q: name another folder", dataDir,
			strings.TrimSpace(string(have)), strings.TrimSpace(want))
	}
	return nil
}
