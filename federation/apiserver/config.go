package apiserver

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"pentad.dev/pentad/federation/apiserver/registry"
	"pentad.dev/pentad/federation/apiserver/storage"
)

// Backend is the replicated intent as this server reaches it.
type Backend = storage.Backend

var (
	// ErrNotWritten is what the error of a Backend's Propose is when the command was surely not done, and never will be.
	ErrNotWritten = storage.ErrNotWritten
	// ErrNoQuorum is ErrNotWritten because no leader has a majority.
	ErrNoQuorum = storage.ErrNoQuorum
)

// Config is what one API server needs. Several may run in one process.
type Config struct {
	// Name is the federation server's.
	Name string
	// Listener is served until Run returns, which closes it.
	Listener net.Listener
	// Certificates is asked by New, and every few seconds while the server runs: a renewed certificate or client authority
	// is in force without a restart. An error keeps the last good ones.
	Certificates func() (Certificates, error)
	Backend      Backend
	// Permits bounds how short a Unitization's permits may be declared.
	Permits registry.PermitBound
	// Ready, if set, is part of /readyz: nil when the server may get traffic.
	Ready func() error
	// Pages serves what is below /pentad/, beside the objects: whoever may read objects may GET there, everything else is
	// for admins. Nil: nothing is there.
	Pages http.Handler
	// Streams are paths of Pages that take as long as their handler lets them: it bounds them by what it has sent. All other
	// requests but watches end within a minute.
	Streams []string
	// Audit gets a line of JSON for every request that is audited; nil: no audit.
	Audit io.Writer
	// Version is Pentad's own, as in 0.1.0.
	Version string
	Logger  *slog.Logger

	planted registry.Planted
}

// Validate refuses a Config with holes.
func (c Config) Validate() error {
	var errs []error
	for _, part := range []struct {
		name string
		ok   bool
	}{
		{"name", c.Name != ""},
		{"listener", c.Listener != nil},
		{"certificates", c.Certificates != nil},
		{"backend", c.Backend != nil},
		{"version", c.Version != ""},
		{"logger", c.Logger != nil},
	} {
		if !part.ok {
			errs = append(errs, fmt.Errorf("%s: must be set", part.name))
		}
	}
	return errors.Join(errs...)
}
