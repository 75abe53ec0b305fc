package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"gopkg.in/natefinch/lumberjack.v2"

	"pentad.dev/pentad/process"
)

// auditFile is the part of a server's data folder that says who changed what.
const auditFile = "audit.log"

const (
	defaultAuditMegabytes = 100
	maxAuditMegabytes     = 10 << 10
	defaultAuditFiles     = 5
	maxAuditFiles         = 1000
)

// Audit bounds the audit log, which is on the disk that the Raft log needs.
type Audit struct {
	// MaxMegabytes is the size at which audit.log is put aside under a name with the time, and begun anew. Default 100.
	MaxMegabytes *int `json:"maxMegabytes,omitempty"`
	// KeepFiles is how many that were put aside are kept; the oldest go first. Default 5.
	KeepFiles *int `json:"keepFiles,omitempty"`
	// KeepDays, if set, removes those that were put aside longer ago, too.
	KeepDays *int `json:"keepDays,omitempty"`
}

// validate names each wrong field.
func (a Audit) validate() error {
	var errs []error
	for _, f := range []struct {
		field       string
		value       *int
		least, most int
	}{
		{"audit.maxMegabytes", a.MaxMegabytes, 1, maxAuditMegabytes},
		{"audit.keepFiles", a.KeepFiles, 1, maxAuditFiles},
		{"audit.keepDays", a.KeepDays, 1, 100 * 366},
	} {
		if f.value != nil && (*f.value < f.least || *f.value > f.most) {
			errs = append(errs, fmt.Errorf("%s: %d is not between %d and %d", f.field, *f.value, f.least, f.most))
		}
	}
	return errors.Join(errs...)
}

// open makes the writer of the audit log. It fails for what an operator must mend, but not because the disk is full: who
// changes what is then told on standard error, as the API server does with all that it cannot write, and the estate goes on.
func (a Audit) open(dataDir string) (io.WriteCloser, error) {
	path := filepath.Join(dataDir, auditFile)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	switch {
	case err == nil:
		if err := file.Close(); err != nil {
			return nil, fmt.Errorf("audit log: %w", err)
		}
	case !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT):
		return nil, process.Usagef("audit log: %w", err)
	}
	return &lumberjack.Logger{
		Filename: path, MaxSize: orDefault(a.MaxMegabytes, defaultAuditMegabytes), MaxBackups: orDefault(a.KeepFiles, defaultAuditFiles),
		MaxAge: orDefault(a.KeepDays, 0),
	}, nil
}

func orDefault(value *int, otherwise int) int {
	if value == nil {
		return otherwise
	}
	return *value
}
