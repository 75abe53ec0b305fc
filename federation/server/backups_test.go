package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

func centersIn(f *intent.FSM) (n int) {
	f.View().Range(v1alpha1.KindCenter, "", func(*intent.Object) bool { n++; return true })
	return n
}
