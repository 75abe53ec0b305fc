package dev_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"pentad.dev/pentad/process"
)

// The test binary stands in for pentad: started with a role as its first argument, it takes its listeners, answers on
// its admin page, and obeys the file named by STANDIN_<role>.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[2] == "--config" {
		if err := standIn(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == "supervise" {
		os.Exit(superviseUntilKilled(os.Args[2]))
	}
	// The race detector makes every process wait for a second at its end; children would look slow to stop.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func standIn(role string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch os.Getenv("STANDIN_" + role) {
	case "fail":
		return fmt.Errorf("%s fails at once", role)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		ctx = context.Background()
	}
	listeners, err := process.Listen(nil)
	if err != nil {
		return err
	}
	fmt.Printf("%s runs with %d listeners\n", role, len(listeners))
	err = process.Admin{
		Listener: listeners["admin"], Metrics: process.NewMetrics(), Log: slog.Default(),
		Ready:  func() error { return nil },
		Status: func() any { return map[string]any{"role": role, "listeners": len(listeners), "pid": os.Getpid()} },
	}.Run(ctx)
	if note := os.Getenv("STANDIN_NOTES"); note != "" {
		line := fmt.Sprintf("%d %s\n", time.Now().UnixNano(), role)
		_ = os.WriteFile(filepath.Join(note, filepath.Base(os.Args[3])), []byte(line), 0o644)
	}
	return err
}
