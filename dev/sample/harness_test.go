package sample

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/loopback"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func here() process.Place { return process.Place{Region: "hangzhou", Center: "hz-a"} }

// startServer runs a plain server with an instance of each service until stop is called.
func startServer(t *testing.T) (cfg ServerConfig, stop func()) {
	t.Helper()
	cfg = ServerConfig{Name: "sample-hz-a", Place: here(), Listen: Listen{Admin: loopback.Address(t)}}
	for _, name := range ServiceNames() {
		cfg.Instances = append(cfg.Instances, Instance{Name: name + "-1", Service: name, Listen: loopback.Address(t)})
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	server, err := NewServer(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return cfg, run(t, server)
}

// patience bounds every wait: the machine may be busy.
const patience = time.Minute

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("no %s after %s", what, patience)
		}
	}
}

func run(t *testing.T, r interface{ Run(context.Context) error }) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("did not stop")
		}
	}
	t.Cleanup(stop)
	return stop
}
