package server

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAnAuditLogThatCannotBeWrittenStopsNobody: the disk has no room for it. The device is Linux's own.
func TestAnAuditLogThatCannotBeWrittenStopsNobody(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 1)
	path := filepath.Join(e.configs[0].DataDir, auditFile)
	check(t, os.Symlink("/dev/full", path))
	if file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	} else if _, err := file.Write([]byte("x")); err == nil {
		t.Fatal("it can be written")
	}
	e.start(0)
	e.leader()
	c := e.operator(0)
	create(t, c.Centers(), center("hz-a", "hangzhou"))
	drop(t, c.Centers(), "hz-a")
	if info, err := os.Lstat(path); err != nil || info.Mode().IsRegular() {
		t.Errorf("audit.log is another file now: %v, %v", info, err)
	}
}
