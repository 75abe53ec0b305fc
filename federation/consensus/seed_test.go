package consensus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"pentad.dev/pentad/process/loopback"
)

// seedOf writes the state of a machine that holds those values.
func seedOf(values map[string]string) func(io.Writer) error {
	return func(w io.Writer) error { return json.NewEncoder(w).Encode(registersState{Values: values}) }
}

// A cluster that begins with a snapshot serves it, takes members that get it, and keeps it over restarts.
func TestSeedBecomesACluster(t *testing.T) {
	c := &cluster{t: t, ca: newAuthority(t), links: &links{}, id: uuid.NewString()}
	t.Cleanup(c.drop)
	big := strings.Repeat("x", 1<<20)
	for i := range 3 {
		l := loopback.Listen(t, loopback.Address(t))
		m := &member{id: fmt.Sprint("n", i+1), address: l.Addr().String(), fs: newMemFS(), dir: "data", adjust: func(*Config) {}}
		c.members = append(c.members, m)
		c.voters = append(c.voters, Member{ID: m.id, Address: m.address})
		if i > 0 {
			c.open(m, l)
			continue
		}
		err := Seed(Config{ID: m.id, Dir: m.dir, FS: m.fs}, c.id, nil, c.voters, seedOf(map[string]string{"k": "old", "big": big}))
		if err != nil {
			t.Fatal(err)
		}
		c.startOn(m, l)
		f := m.node.Folder()
		if c.roster = f.Roster; f.Cluster != c.id || f.Empty || !maps.Equal(f.Roster, map[string]string{"n1": f.ID}) {
			t.Fatalf("the seed's folder is %+v", f)
		}
	}
	if got := c.leader().machine.get("k"); got != "old" {
		t.Fatalf("k = %q, want old", got)
	}
	c.put("k", "new")
	for _, m := range c.members[1:] {
		if err := m.node.Enroll(c.id, c.roster); err != nil {
			t.Fatal(err)
		}
		c.run(m)
		c.add(m)
		c.promote(m)
	}
	_, index := c.put("end", "1")
	for _, m := range c.members {
		if err := m.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
			t.Fatal(err)
		}
		if m.machine.get("k") != "new" || m.machine.get("big") != big {
			t.Errorf("%s holds k=%s and %d bytes", m.id, m.machine.get("k"), len(m.machine.get("big")))
		}
	}
	for _, m := range c.members {
		c.stop(m)
	}
	for _, m := range c.members {
		c.start(m)
	}
	if l := c.leader(); l.machine.get("k") != "new" || l.machine.get("big") != big {
		t.Errorf("after the restart %s holds k=%s", l.id, l.machine.get("k"))
	}
}

func TestSeedIsWholeOrRefused(t *testing.T) {
	cluster, member := uuid.NewString(), []Member{{ID: "n1", Address: "127.0.0.1:1"}}
	good := seedOf(map[string]string{"k": "1"})
	for steps := range 30 { // a power cut at any instant
		vfs := newMemFS()
		cfg := Config{ID: "n1", Dir: "data", FS: vfs}
		cutAfter(vfs, steps)
		whole := Seed(cfg, cluster, nil, member, good) == nil
		vfs.powerCut(rand.New(rand.NewPCG(uint64(steps), 5)))
		m := newRegisters()
		tail, err := Replay(cfg, m)
		if whole && (err != nil || tail.Folder.Cluster != cluster || m.get("k") != "1") {
			t.Errorf("cut after %d steps: it was whole, and is %+v: %v", steps, tail, err)
		}
		if err != nil {
			if err := Seed(cfg, cluster, nil, member, good); err != nil {
				t.Errorf("cut after %d steps: the second attempt: %v", steps, err)
			}
		}
	}

	vfs := newMemFS()
	cfg := Config{ID: "n1", Dir: "data", FS: vfs}
	boom := errors.New("the backup is cut short")
	for name, err := range map[string]error{
		"no cluster":  Seed(cfg, "", nil, member, good),
		"no members":  Seed(cfg, cluster, nil, nil, good),
		"not a voter": Seed(cfg, cluster, nil, []Member{{"n2", "127.0.0.1:2"}}, good),
		"another's":   Seed(cfg, cluster, map[string]string{"n1": uuid.NewString()}, member, good),
		"no content":  Seed(cfg, cluster, nil, member, func(io.Writer) error { return boom }),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	vfs.setHook(func(op, name string) error {
		if op == "write" && strings.HasSuffix(name, snapSuffix) {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := Seed(cfg, cluster, nil, member, good); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: %v", err)
	}
	vfs.setHook(nil)
	if err := Seed(cfg, cluster, nil, member, good); err != nil {
		t.Fatal(err)
	}
	before := vfs.content()
	if err := Seed(cfg, cluster, nil, member, good); !errors.Is(err, ErrFolder) {
		t.Errorf("into a folder that is taken: %v, want %v", err, ErrFolder)
	}
	if !maps.Equal(before, vfs.content()) {
		t.Error("it was changed")
	}
}

// What a crashed node's folder holds comes out of it, without a change to any of its files.
func TestReplayReadsAndWritesNothing(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, 3, func(i int, cfg *Config) {
		cfg.TrailingLogs = 5
		if i == 0 {
			cfg.FS, cfg.Dir = OS(), filepath.Join(dir, "data")
		}
	})
	n1 := c.members[0]
	var index uint64
	for i := range 200 {
		_, index = c.put(fmt.Sprint("k", i%7), fmt.Sprint(i))
		if i == 150 {
			if err := n1.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
				t.Fatal(err)
			}
			if err := n1.node.raft.Load().Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := n1.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: filepath.Join(dir, "data")}
	if _, err := Replay(cfg, newRegisters()); !errors.Is(err, ErrFolder) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("replay beside the node: %v", err)
	}
	for _, m := range c.members {
		c.stop(m)
	}
	before := filesOf(t, cfg.Dir)
	m := newRegisters()
	tail, err := Replay(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	if tail.Node != "n1" || tail.Index < index || tail.SnapshotIndex == 0 || tail.Commands == 0 || tail.Term == 0 ||
		tail.CurrentTerm < tail.Term || len(tail.Members) != 3 || tail.Folder.Cluster != c.id {
		t.Errorf("the tail is %+v", tail)
	}
	for i := range 7 {
		if key := fmt.Sprint("k", i); m.get(key) != n1.machine.get(key) {
			t.Errorf("%s = %q, the node had %q", key, m.get(key), n1.machine.get(key))
		}
	}
	if after := filesOf(t, cfg.Dir); !maps.Equal(before, after) {
		t.Error("the folder was changed")
	}
	cfg.ID = "n2"
	if _, err := Replay(cfg, newRegisters()); !errors.Is(err, ErrFolder) || !strings.Contains(err.Error(), `"n1"`) {
		t.Errorf("another node's folder: %v", err)
	}
	cfg.ID, cfg.Dir = "", filepath.Join(dir, "nothing")
	if _, err := Replay(cfg, newRegisters()); !errors.Is(err, ErrFolder) {
		t.Errorf("no folder: %v", err)
	}
	if _, err := os.Stat(cfg.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("replay made a folder: %v", err)
	}
}

// Torn ends are mended in memory only, damage before them is refused, an entry that cannot be applied is named.
func TestReplayOfDamage(t *testing.T) {
	c := newCluster(t, 1, nil)
	for i := range 50 {
		c.put("k", fmt.Sprint(i))
	}
	m := c.members[0]
	m.fs.(*memFS).powerCut(rand.New(rand.NewPCG(4, 4)))
	c.stop(m)
	before := m.fs.(*memFS).content()
	replayed := newRegisters()
	if _, err := Replay(Config{Dir: "data", FS: m.fs}, replayed); err != nil || replayed.get("k") != "49" {
		t.Errorf("after a power cut: k=%q: %v", replayed.get("k"), err)
	}
	if !maps.Equal(before, m.fs.(*memFS).content()) {
		t.Error("the folder was changed")
	}
	rotten := m.fs.(*memFS).clone()
	for name, f := range rotten.files {
		if at := bytes.Index(f.now, []byte(`"Value":"3"`)); strings.HasSuffix(name, ".wal") && at > 0 {
			f.now[at] ^= 1
		}
	}
	if _, err := Replay(Config{Dir: "data", FS: rotten}, newRegisters()); !errors.Is(err, ErrFolder) ||
		!strings.Contains(err.Error(), "damaged") {
		t.Errorf("rotten in the middle: %v", err)
	}
	c.start(m)
	l := c.leader()
	l.node.Propose(timeout(t, time.Minute), []byte("not JSON"))
	c.stop(l)
	if _, err := Replay(Config{Dir: "data", FS: m.fs}, newRegisters()); err == nil || !strings.Contains(err.Error(), "cannot be applied") {
		t.Errorf("an entry that is no command: %v", err)
	}
}

func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, _ := e.Info()
		all[e.Name()] = fmt.Sprint(info.ModTime(), string(b))
	}
	return all
}
