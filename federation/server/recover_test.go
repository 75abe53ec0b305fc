package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/federation/backup"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/process"
)

// dies ends at a step, as a process that is killed there.
type dies struct{ at string }

// killed runs something that dies at a step; it says whether it came there.
func killed(step string, run func(func(string))) (was bool) {
	defer func() {
		if d, ok := recover().(dies); ok && d.at == step {
			was = true
		}
	}()
	run(func(at string) {
		if at == step {
			panic(dies{at})
		}
	})
	return false
}

// TestARecoveryMayBeInterrupted between any two of its steps: the folder has the old state or the new one, whole, a
// server can start from it, and the recovery can be made again. Nothing is lost on the way.
func TestARecoveryMayBeInterrupted(t *testing.T) {
	t.Parallel()
	file := backupOf(t, stateOf(t, "hz-a", "hz-b"), nil)
	steps := []string{"backup", "put a leftover aside", "seed", "exchange", "sync", "put the old log aside", "sync again"}
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			life, err := Restoration{Config: offline(dir)}.Restore(bytes.NewReader(file))
			check(t, err)
			now := time.Now()
			open := func(step func(string)) *Recovery {
				r, err := OpenRecovery(Restoration{Config: offline(dir), step: step, Now: func() time.Time { return now }})
				check(t, err)
				return r
			}
			if !killed(step, func(step func(string)) {
				r := open(step)
				defer r.Close()
				_, err := r.Recover()
				check(t, err)
			}) {
				t.Fatal("not reached")
			}
			f, tail := holds(t, dir)
			old := tail.Folder.Cluster == life.Cluster
			if before := step == "backup" || step == "put a leftover aside" || step == "seed" || step == "exchange"; old != before {
				t.Errorf("the old state: %t", old)
			}
			if centersIn(f) != 2 {
				t.Errorf("%d centers", centersIn(f))
			}
			now = now.Add(time.Second)
			r := open(nil)
			defer r.Close()
			done, err := r.Recover()
			check(t, err)
			if f, tail = holds(t, dir); tail.Folder.Cluster != done.Cluster || centersIn(f) != 2 {
				t.Errorf("again: %+v", tail.Folder)
			}
			logs, err := filepath.Glob(filepath.Join(dir, "raft*"))
			check(t, err)
			if !old && len(logs) < 3 {
				t.Errorf("the log of the very beginning is not there any more: %q", logs)
			}
			kept, err := os.Open(done.Backup)
			check(t, err)
			defer kept.Close()
			in, err := backup.Read(kept)
			check(t, err)
			check(t, in.Verify())
			if h := in.Header(); h != done.From || h.Revision == 0 || h.Level == 0 {
				t.Errorf("kept %v, recovered %v", h, done.From)
			}
		})
	}
}

func TestARecoverySaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	file := backupOf(t, stateOf(t, "hz-a"), nil)
	dir := t.TempDir()
	open := func(config Config) error {
		r, err := OpenRecovery(Restoration{Config: config})
		if err == nil {
			r.Close()
		}
		return err
	}
	if err := open(offline(dir)); !usage(err) || !strings.Contains(err.Error(), "holds no state") {
		t.Errorf("an empty folder: %v", err)
	}
	_, err := Restoration{Config: offline(dir)}.Restore(bytes.NewReader(file))
	check(t, err)
	before := tree(t, dir)
	other := offline(dir)
	other.Name = "sh-a"
	if err := open(other); !usage(err) || !strings.Contains(err.Error(), `not to "1 server sh-a"`) {
		t.Errorf("another server's folder: %v", err)
	}
	held, err := process.OpenDataDir(dir, "server hz-a")
	check(t, err)
	if err := open(offline(dir)); !usage(err) || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("a running server's folder: %v", err)
	}
	held.Close()
	check(t, open(offline(dir)))
	if after := tree(t, dir); after != before {
		t.Errorf("changed from\n%s\nto\n%s", before, after)
	}
}

func TestAnOfflineBackupIsThatOfTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	life, err := Restoration{Config: offline(dir)}.Restore(bytes.NewReader(backupOf(t, stateOf(t, "hz-a"), nil)))
	check(t, err)
	before := tree(t, dir)
	var file bytes.Buffer
	tail, err := BackUpFolder(dir, &file)
	check(t, err)
	f, h, err := readBackup(&file)
	check(t, err)
	if h.Cluster != life.Cluster || h.Incarnation != life.Incarnation || centersIn(f) != 1 || h.Index != tail.Index {
		t.Errorf("%+v, of %+v", h, life)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("changed from\n%s\nto\n%s", before, after)
	}
	if _, err := BackUpFolder(t.TempDir(), &file); !usage(err) {
		t.Errorf("a folder of nobody: %v", err)
	}
}

func TestMayBeLost(t *testing.T) {
	said := strings.Join(MayBeLost(consensus.Tail{Node: "hz-a", Index: 12, Term: 3, SnapshotIndex: 7, CurrentTerm: 5}), "\n")
	for _, want := range []string{"up to entry 12 of term 3", "Of its last 5 entries, those behind entry 7", "has taken part in term 5"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in %q", want, said)
		}
	}
}
