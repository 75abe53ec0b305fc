package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pentad.dev/pentad/federation/backup"
)

// TestABackupThatBreaksOffIsNoFile: whatever is cut off, and however its download ends, nothing is there under its name.
func TestABackupThatBreaksOffIsNoFile(t *testing.T) {
	var whole bytes.Buffer
	header := backup.Header{Cluster: "c", Server: "hz-a", Level: 2, Taken: time.Unix(1_700_000_000, 0).UTC()}
	if err := backup.Write(&whole, header, bytes.NewReader(make([]byte, 300))); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "x.pentad")
	lost := errors.New("connection lost")
	for n := range whole.Len() {
		for _, end := range []error{nil, lost} {
			_, err := writeBackup(path, func(w io.Writer) error {
				if _, err := w.Write(whole.Bytes()[:n]); err != nil {
					return err
				}
				return end
			})
			if err == nil || end != nil && !errors.Is(err, end) {
				t.Fatalf("after %d of %d bytes and %v: %v", n, whole.Len(), end, err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Fatalf("after %d bytes there is %v, %v", n, left, err)
			}
		}
	}
	if _, err := writeBackup(path, func(w io.Writer) error { _, err := w.Write(whole.Bytes()); return err }); err != nil {
		t.Fatal(err)
	}
}
