package server

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// audits are the files of the audit log, and their size together.
func audits(t *testing.T, dataDir string) (files []string, size int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dataDir, "audit*"))
	check(t, err)
	for _, file := range files {
		if info, err := os.Stat(file); err == nil { // else it was removed just now
			size += info.Size()
		}
	}
	return files, size
}

func TestTheAuditLogStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, auditFile), []byte("before\n"), 0o600))
	log, err := Audit{MaxMegabytes: new(1), KeepFiles: new(2)}.open(dir)
	check(t, err)
	defer log.Close()
	const line = 100 << 10
	for n := range 50 { // some 5 MiB
		time.Sleep(time.Millisecond) // files that are put aside are told apart by the millisecond
		_, err := log.Write(append(bytes.Repeat([]byte{byte('a' + n%26)}, line-1), '\n'))
		check(t, err)
	}
	_, err = log.Write([]byte("the last\n"))
	check(t, err)
	eventually(t, "end of the oldest files", patient, func() bool { files, _ := audits(t, dir); return len(files) == 3 })
	if files, size := audits(t, dir); size > 3<<20 {
		t.Errorf("%d bytes in %q", size, files)
	}
	if newest, err := os.ReadFile(filepath.Join(dir, auditFile)); err != nil || !bytes.HasSuffix(newest, []byte("\nthe last\n")) {
		t.Errorf("the newest line is not at the end of audit.log, %v", err)
	}
}

func TestAnAuditLogThatIsNoFileIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, auditFile), 0o700))
	if log, err := (Audit{}).open(dir); !usage(err) {
		t.Errorf("%v, %v", log, err)
	}
}
