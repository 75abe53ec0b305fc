package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"pentad.dev/pentad/process/loopback"
)

// soloConfig is that of a voter that is alone, on real files.
func soloConfig(t *testing.T, dir string) Config {
	t.Helper()
	l := loopback.Listen(t, loopback.Address(t))
	t.Cleanup(func() { l.Close() })
	server, client := newAuthority(t).issue(t, "n1")
	return Config{ID: "n1", Dir: dir, Listener: l, ServerTLS: server, ClientTLS: client, Machine: newRegisters(),
		Voters: []Member{{ID: "n1", Address: l.Addr().String()}}, BootstrapAlone: true, Logger: testLogger("n1"), SegmentSize: 64 << 10,
		DiskTimeout: time.Minute} // a real disk may be busy for seconds
}

// filesIn returns what is in a folder, but for the lock, which whoever looks at it takes.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range found {
		if f.Name() == lockFile {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(b)
	}
	return all
}

func TestFolderIsRefusedWithAReason(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	cfg := soloConfig(t, dir)
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, cfg Config, words ...string) {
		t.Helper()
		before := filesIn(t, cfg.Dir)
		n, err := New(cfg)
		if after := filesIn(t, cfg.Dir); !maps.Equal(before, after) {
			t.Errorf("%s: the folder changed: %d files, %d before", what, len(after), len(before))
		}
		if err == nil {
			n.Close()
			t.Errorf("%s: accepted", what)
			return
		}
		if !errors.Is(err, ErrFolder) || !strings.Contains(err.Error(), cfg.Dir) {
			t.Errorf("%s: %v: want %v and the folder", what, err, ErrFolder)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v: want %q in it", what, err, w)
			}
		}
	}
	refused("in use", cfg, "another process uses it")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err = New(cfg); err != nil {
		t.Fatalf("it is free again: %v", err)
	}
	n.Close()

	other := cfg
	other.ID, other.Voters = "n2", []Member{{ID: "n2", Address: cfg.Voters[0].Address}}
	refused("another node's", other, `"n1"`, `"n2"`)

	version := filepath.Join(dir, versionFile)
	good, err := os.ReadFile(version)
	if err != nil {
		t.Fatal(err)
	}
	write := func(content string) {
		if err := os.WriteFile(version, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("pentad consensus 7\nnode n1\nand more\n")
	refused("another version", cfg, "version 7", fmt.Sprint("reads and writes ", layoutVersion))
	write("something else")
	refused("a damaged version", cfg, "something else")
	write(string(good))

	if err := os.Rename(version, version+".lost"); err != nil {
		t.Fatal(err)
	}
	refused("no version", cfg, versionFile)
	if err := os.Rename(version+".lost", version); err != nil {
		t.Fatal(err)
	}

	foreign := cfg
	foreign.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign.Dir, "holiday.jpg"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	refused("somebody's pictures", foreign, "holiday.jpg")
	if _, err := os.Stat(filepath.Join(foreign.Dir, "holiday.jpg")); err != nil {
		t.Error(err)
	}

	for _, name := range metaNames {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("xxxx"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	refused("both copies of the vote damaged", cfg, "meta-a", "meta-b")
}

// A new folder takes little room, and everything is in it after a restart on real files.
func TestRealFiles(t *testing.T) {
	dir := t.TempDir()
	cfg := soloConfig(t, dir)
	for life := range 3 {
		machine := newRegisters()
		cfg.Machine = machine
		if life > 0 {
			cfg.Listener = loopback.Listen(t, cfg.Voters[0].Address)
		}
		n, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		eventually(t, "it leads", n.IsLeader)
		if _, err := n.ReadIndex(timeout(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		want := ""
		if life > 0 {
			want = fmt.Sprint("199-", life-1)
		}
		if got := machine.get("k"); got != want {
			t.Errorf("life %d: k = %q, want %q", life, got, want)
		}
		for i := range 200 { // several segments
			c := command{"k", fmt.Sprint(i, "-", life)}
			if i != 199 {
				c.Value += strings.Repeat("x", 1000)
			}
			if _, _, err := n.Propose(timeout(t, time.Minute), c.encode()); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}

// A power cut at any instant while a folder is made leaves one that can be used.
func TestFolderIsMadeOrNot(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	cfg := soloConfig(t, "data")
	for steps := range 60 {
		vfs := newMemFS()
		cfg.FS = vfs
		cfg.Fatal = func(error) {}
		cutAfter(vfs, steps)
		n, err := New(cfg)
		if err == nil {
			n.Close()
		}
		vfs.powerCut(rnd)
		if n, err = New(cfg); err != nil {
			t.Fatalf("cut after %d steps: %v", steps, err)
		}
		if last, err := n.folder.log.LastIndex(); err != nil || last != 1 {
			t.Errorf("cut after %d steps: log ends at %d: %v", steps, last, err)
		}
		n.Close()
	}
}

func TestSnapshotsAreWholeOrAbsent(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	content := bytes.Repeat([]byte("snapshot "), 2000)
	write := func(s *snapshots, index uint64) error {
		k, err := s.Create(1, index, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			return err
		}
		if _, err := k.Write(content); err != nil {
			return errors.Join(err, k.Cancel())
		}
		return k.Close()
	}
	for steps := range 20 {
		vfs := newMemFS()
		d := &disk{FS: vfs, die: func(error) {}, synced: func(time.Duration) {}, plants: &plants{}}
		s := &snapshots{fs: d, logger: hclog.NewNullLogger()}
		for i := range uint64(3) {
			if err := write(s, i+1); err != nil {
				t.Fatal(err)
			}
		}
		if err := write(s, 3); err != nil { // a leader may send the same one again
			t.Fatal(err)
		}
		cutAfter(vfs, steps)
		acked := write(s, 4) == nil
		vfs.powerCut(rnd)
		s.fs = vfs
		found, err := s.List()
		if err != nil || len(found) == 0 || acked && found[0].Index != 4 || found[0].Index < 3 {
			t.Fatalf("cut after %d steps: acknowledged %v, found %d: %v", steps, acked, len(found), err)
		}
		meta, r, err := s.Open(found[0].ID)
		if err != nil {
			t.Fatalf("cut after %d steps: %v", steps, err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, content) || meta.Size != int64(len(content)) {
			t.Fatalf("cut after %d steps: %d bytes: %v", steps, len(got), err)
		}
		if err := s.reap(); err != nil {
			t.Fatal(err)
		}
		if names, _ := vfs.ListDir(""); len(names) > snapRetain {
			t.Errorf("kept %v", names)
		}
		// Rot anywhere is found before anything is handed out.
		f := vfs.files[found[0].ID]
		for _, at := range []int{0, 9, snapHead - 1, snapHead, snapHead + len(content)/2, len(f.now) - 1} {
			bad := slices.Clone(f.now)
			f.now[at] ^= 1
			if _, _, err := s.Open(found[0].ID); err == nil {
				t.Errorf("byte %d flipped: opened", at)
			}
			f.now = bad
		}
	}
}

// A snapshot that is finished while another one is being written leaves that one alone.
func TestSnapshotsBesideEachOther(t *testing.T) {
	vfs := newMemFS()
	s := &snapshots{fs: vfs, logger: hclog.NewNullLogger()}
	var sinks []raft.SnapshotSink
	for range 3 {
		k, err := s.Create(1, 9, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Write([]byte("content")); err != nil {
			t.Fatal(err)
		}
		sinks = append(sinks, k)
	}
	for _, i := range []int{1, 2, 0} {
		if err := sinks[i].Close(); err != nil {
			t.Fatal(err)
		}
		if i != 0 {
			if _, _, err := s.Open(sinks[i].ID()); err != nil {
				t.Error(err)
			}
		}
	}
	if names, _ := vfs.ListDir(""); len(names) != snapRetain {
		t.Errorf("kept %v", names)
	}
}
