package server

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/federation/backup"
)

func TestARestoreBeginsANewLife(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	old := stateOf(t, "hz-a", "hz-b")
	life, err := Restoration{Config: offline(dir)}.Restore(bytes.NewReader(backupOf(t, old, nil)))
	check(t, err)
	f, tail := holds(t, dir)
	if tail.Folder.Cluster != life.Cluster || life.Cluster == oldCluster || life.Objects != 2 || f.Incarnation() != life.Incarnation {
		t.Errorf("cluster %s, %+v", tail.Folder.Cluster, life)
	}
	if f.Revision() <= old.Revision() || f.Incarnation() < uint64(time.Now().Add(-time.Minute).Unix()) {
		t.Errorf("revision %d after %d, incarnation %d", f.Revision(), old.Revision(), f.Incarnation())
	}
	self := f.Servers()
	if len(self) != 1 || self[0].GetFolder() != tail.Folder.ID || !self[0].GetVoter() || self[0].GetRaft() != "127.0.0.1:7001" ||
		tail.Folder.Roster["hz-a"] != tail.Folder.ID {
		t.Errorf("servers %v, folder %+v", self, tail.Folder)
	}
	if len(tail.Members) != 1 || tail.Members[0].ID != "hz-a" || !tail.Members[0].Voter {
		t.Errorf("members %+v", tail.Members)
	}
	_, err = Restoration{Config: offline(dir)}.Restore(bytes.NewReader(backupOf(t, old, nil)))
	if !usage(err) || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("again: %v", err)
	}
}

func TestABadBackupChangesNothing(t *testing.T) {
	t.Parallel()
	whole := backupOf(t, stateOf(t, "hz-a"), nil)
	dir := filepath.Join(t.TempDir(), "data")
	refuse := func(what string, file []byte, says string) {
		t.Helper()
		_, err := Restoration{Config: offline(dir)}.Restore(bytes.NewReader(file))
		if !usage(err) || !strings.Contains(err.Error(), says) {
			t.Fatalf("%s: %v", what, err)
		}
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: the folder was made", what)
		}
	}
	for n := range whole {
		refuse(fmt.Sprintf("the first %d of %d bytes", n, len(whole)), whole[:n], "not a whole backup")
	}
	for bit := 0; bit < len(whole)*8; bit += 7 { // each byte, and each bit of some
		altered := bytes.Clone(whole)
		altered[bit/8] ^= 1 << (bit % 8)
		refuse(fmt.Sprintf("bit %d", bit), altered, "backup")
	}
	refuse("another version", bytes.Replace(whole, []byte("backup 1"), []byte("backup 2"), 1), `version "2", and this build reads "1"`)
	refuse("bytes after it", append(bytes.Clone(whole), '\n'), "bytes after its end")
	refuse("a header of another state", backupOf(t, stateOf(t, "hz-a"), func(h *backup.Header) { h.Revision++ }),
		"its header is not of its state")
	refuse("a state of a later build", backupOf(t, stateOf(t, "hz-a"), func(h *backup.Header) { h.Level = 99 }), "its header")
	refuse("a clock that is behind", backupOf(t, stateOf(t, "hz-a"),
		func(h *backup.Header) { h.Taken = time.Now().Add(time.Hour) }), "this machine's clock says")
	var inner bytes.Buffer
	check(t, backup.Write(&inner, backup.Header{Cluster: oldCluster, Server: "hz-a", Level: 1, Taken: time.Unix(1, 0)},
		strings.NewReader("pentad intent 9\n")))
	refuse("a content of a later build", inner.Bytes(), "this build cannot read its state")
}

// TestAFolderInUseIsLeftAlone: while its server runs, no command that works on folders touches it, and the server goes on.
func TestAFolderInUseIsLeftAlone(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 1)
	e.leader()
	config := e.configs[0]
	var out bytes.Buffer
	for what, err := range map[string]error{
		"backup":  func() error { _, err := BackUpFolder(config.DataDir, &out); return err }(),
		"recover": func() error { _, err := OpenRecovery(Restoration{Config: config}); return err }(),
		"start":   func() error { _, err := New(config, slog.New(slog.DiscardHandler)); return err }(),
	} {
		if !usage(err) || !strings.Contains(err.Error(), "another process") || !strings.Contains(err.Error(), config.DataDir) {
			t.Errorf("%s: %v", what, err)
		}
	}
	file := backupOf(t, stateOf(t, "hz-a"), nil)
	if _, err := (Restoration{Config: config}).Restore(bytes.NewReader(file)); !usage(err) || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("restore: %v", err)
	}
	if out.Len() > 0 {
		t.Errorf("a backup of %d bytes was written", out.Len())
	}
	create(t, e.operator(0).Centers(), center("after", "r1")) // the server goes on
}

func TestAFolderThatIsNotEmptyIsNotTouched(t *testing.T) {
	t.Parallel()
	file := backupOf(t, stateOf(t, "hz-a"), nil)
	for name, c := range map[string]struct {
		make func(dir string)
		says string
	}{
		"a file": {func(dir string) { check(t, os.WriteFile(filepath.Join(dir, "photos.txt"), nil, 0o600)) }, `is not empty, it holds ["photos.txt"]`},
		"another server's": {func(dir string) {
			check(t, os.WriteFile(filepath.Join(dir, "VERSION"), []byte("1 server sh-a\n"), 0o600))
		}, `belongs to "1 server sh-a", not to "1 server hz-a"`},
		"one with a log": {func(dir string) {
			_, err := Restoration{Config: offline(dir)}.Restore(bytes.NewReader(file))
			check(t, err)
		}, `it holds ["raft"]`},
		"a longest permit": {func(string) {}, "longest permit 1h0m0s: must be above zero and at most 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.make(dir)
			before := tree(t, dir)
			r := Restoration{Config: offline(dir)}
			if strings.Contains(name, "permit") {
				r.LongestPermit = time.Hour
			}
			_, err := r.Restore(bytes.NewReader(file))
			if !usage(err) || !strings.Contains(err.Error(), c.says) {
				t.Error(err)
			}
			if after := tree(t, dir); after != before {
				t.Errorf("changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}
