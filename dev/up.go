package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// readyWithin is how long each tier may take to become ready. It takes one to five seconds on two cores.
	readyWithin = 60 * time.Second
	readyPoll   = 50 * time.Millisecond
)

// tier is a set of roles that start together, since the next one needs them.
type tier struct {
	what  string
	roles []Role
}

var tiers = [...]tier{
	{"servers", []Role{RoleServer}},
	{"relays and agents", []Role{RoleRelay, RoleAgent}},
	{"workloads", []Role{RoleSample}},
	{"clients", []Role{RoleLoad}},
}

// Up starts what does not run, in order, and returns when everything is ready. The servers are told at the first time
// which centers and clusters there are.
func (s *Site) Up(ctx context.Context) error {
	for _, t := range tiers {
		starting := s.supervisor.NotRunning(t.roles...)
		begun := time.Now()
		for _, name := range starting {
			if err := s.supervisor.Start(name); err != nil {
				return err
			}
		}
		if err := s.WaitReady(ctx, readyWithin, s.supervisor.Names(t.roles...)...); err != nil {
			return err
		}
		if t.roles[0] == RoleServer && !s.declared && !s.cfg.SkipDeclare {
			if err := s.declare(ctx); err != nil {
				return fmt.Errorf("declare centers and clusters: %w", err)
			}
			s.declared = true
		}
		if len(starting) > 0 {
			fmt.Fprintf(s.cfg.Out, "  %2d %-18s ready after %.1f s\n", len(starting), t.what, time.Since(begun).Seconds())
		}
	}
	return nil
}

// Down stops everything in order.
func (s *Site) Down() { s.supervisor.StopAll() }

// WaitReady returns when every process says that it serves. It fails when one ends before that, when ctx ends, or with
// the reasons of those that are not ready in time.
func (s *Site) WaitReady(ctx context.Context, within time.Duration, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var group errgroup.Group
	for _, name := range names {
		group.Go(func() error { return s.waitReady(ctx, within, name) })
	}
	return group.Wait()
}

func (s *Site) waitReady(ctx context.Context, within time.Duration, name string) error {
	gone := s.supervisor.gone(name)
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		reason := Probe(ctx, s.Admin(name))
		if reason == nil {
			return nil
		}
		select {
		case <-gone:
			status, _ := s.supervisor.Status(name)
			return errNotUp{name: name, exit: status.Exit, log: s.path("logs", name+".log")}
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return ctx.Err()
			}
			return fmt.Errorf("%s is not ready after %s: %w (log: %s)", name, within, reason, s.path("logs", name+".log"))
		case <-ticker.C:
		}
	}
}

// Probe asks an admin page whether its process serves; the error says why not.
func Probe(ctx context.Context, admin string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1000))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	return nil
}
