package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/backup"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/process"
)

const oldCluster = "6b1f9d1c-0000-4000-8000-000000000001"

// stateOf is a state machine with some centers.
func stateOf(t testing.TB, names ...string) *intent.FSM {
	t.Helper()
	f, err := intent.New(intent.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		c := center(name, "hangzhou")
		c.UID, c.Generation = "6b1f9d1c-0000-4000-8000-000000000002", 1
		c.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindCenter))
		c.CreationTimestamp.Time = time.Unix(1_700_000_000, 0)
		v1alpha1.Default(c)
		v1alpha1.DeriveStatus(c, f.View().Lookup())
		value, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		command, err := intent.Encode(&intentpb.Command{
			Id: bytes.Repeat([]byte{byte(i + 1)}, intent.IDSize), ProposedAtUnixMs: 1_700_000_000_000,
			Operation: &intentpb.Command_Create{Create: &intentpb.Create{Kind: v1alpha1.KindCenter, Name: name, Value: value}},
		})
		if err != nil {
			t.Fatal(err)
		}
		result, err := intent.DecodeResult(f.Apply(uint64(i+2), command))
		if err != nil || !result.OK {
			t.Fatalf("%+v, %v: %v", result, err, result.Errors())
		}
	}
	return f
}

func backupOf(t testing.TB, f *intent.FSM, edit func(*backup.Header)) []byte {
	t.Helper()
	picture, about, err := f.Picture()
	if err != nil {
		t.Fatal(err)
	}
	h := backup.Header{Cluster: oldCluster, Server: "hz-a", Level: about.GetLevel(), Incarnation: about.GetIncarnation(),
		Revision: about.GetRevision(), Index: about.GetApplied(), Term: 3, Taken: time.Unix(1_700_000_100, 0)}
	if edit != nil {
		edit(&h)
	}
	var file bytes.Buffer
	if err := backup.Write(&file, h, picture); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// offline is a configuration of a server that nobody starts.
func offline(dir string) Config {
	return Config{Name: "hz-a", Place: process.Place{Region: "hangzhou", Center: "hz-a"}, DataDir: dir,
		Listen: Listen{Raft: "127.0.0.1:7001", GRPC: "127.0.0.1:7002", API: "127.0.0.1:7003", Admin: "127.0.0.1:7004"}}
}

// tree is everything in a folder but locks, by path.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.Name() == "LOCK" {
			return err
		}
		fmt.Fprintf(&b, "%s %s", path, d.Type())
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func usage(err error) bool {
	var u *process.UsageError
	return errors.As(err, &u)
}

// holds reads a data folder's state, as a server would that starts from it.
func holds(t *testing.T, dir string) (*intent.FSM, consensus.Tail) {
	t.Helper()
	f, tail, err := replay(dir, "hz-a")
	if err != nil {
		t.Fatal(err)
	}
	return f, tail
}

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
	if _, err := e.operator(0).Centers().Create(t.Context(), center("after", "r1"), metav1.CreateOptions{}); err != nil {
		t.Errorf("the server does not go on: %v", err)
	}
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

func centersIn(f *intent.FSM) (n int) {
	f.View().Range(v1alpha1.KindCenter, "", func(*intent.Object) bool { n++; return true })
	return n
}
