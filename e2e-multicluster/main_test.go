//go:build linux && e2e

package e2e

import (
	"fmt"
	"log/slog"
	"os"
	"testing"

	"k8s.io/klog/v2"

	"pentad.dev/pentad/e2e-multicluster/disk"
	"pentad.dev/pentad/e2e-multicluster/history"
	"pentad.dev/pentad/e2e-multicluster/needs"
	"pentad.dev/pentad/e2e-multicluster/netns"
)

// The environment of the tests.
const (
	// binaryVariable names the pentad executable.
	binaryVariable = "PENTAD_BINARY"
	// killsVariable is how many leaders are killed to measure how long nobody can write.
	killsVariable = "PENTAD_E2E_KILLS"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run is this process's part: it may have been started as a guardian, or as clients.
func run(m *testing.M) int {
	if is, status := disk.Guard(); is {
		return status
	}
	if is, status := history.Serve(); is {
		return status
	}
	return needs.Run(func() int {
		inside, status, err := netns.Enter()
		if err != nil {
			fmt.Fprintf(os.Stderr, "FAIL: a network namespace of our own: %v\n", err)
			return 1
		}
		if !inside {
			return status
		}
		klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // client-go tells of each connection that a server's death broke
		return m.Run()
	}, executable())
}

// executable says what is wrong with the name of the pentad executable.
func executable() error {
	binary := os.Getenv(binaryVariable)
	if binary == "" {
		return fmt.Errorf("%s does not name the pentad executable (make e2e does)", binaryVariable)
	}
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("%s: %w", binaryVariable, err)
	}
	return nil
}
