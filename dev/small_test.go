package dev_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/process"
)

// patience bounds what ends by itself: the machine may be busy.
const patience = time.Minute

// smallEstate has an Arbiter, so that both roles are laid out.
const smallEstate = `
trustDomain: pentad.test
regions:
- name: hangzhou
  centers: [{name: hz-a}]
- name: shanghai
  centers: [{name: sh-a, role: Arbiter}]
relays: 2
services: [{name: catalog, instances: 2}]
`

// quiet is a log for tests.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func smallConfig(t *testing.T, data string) dev.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "estate.yaml")
	if err := os.WriteFile(path, []byte(smallEstate), 0o644); err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return dev.Config{
		Estate: path, Data: data, Binary: binary, Out: io.Discard, Log: quiet(), StopGrace: patience, SkipDeclare: true,
	}
}

func open(t *testing.T, cfg dev.Config) *dev.Site {
	t.Helper()
	site, err := dev.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(site.Close)
	return site
}

// events gathers what a Site tells.
type events struct {
	mu  sync.Mutex
	all []dev.Event
}

func (e *events) add(event dev.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

func (e *events) of(name string) (states []dev.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.all {
		if event.Process == name {
			states = append(states, event.State)
		}
	}
	return states
}

func status(t *testing.T, site *dev.Site, name string) (s struct {
	Role           string
	Listeners, PID int
}) {
	t.Helper()
	response, err := http.Get("http://" + site.Admin(name) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func usage(t *testing.T, err error, parts ...string) {
	t.Helper()
	var u *process.UsageError
	if !errors.As(err, &u) {
		t.Fatalf("got %v, want a usage error", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}
