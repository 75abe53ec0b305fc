//go:build linux && e2e

package e2e

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"k8s.io/klog/v2"

	"pentad.dev/pentad/e2e-multicluster/estate"
	"pentad.dev/pentad/e2e-multicluster/history"
	"pentad.dev/pentad/e2e-multicluster/netns"
)

// The environment of the tests.
const (
	// binaryVariable names the pentad executable.
	binaryVariable = "PENTAD_BINARY"
	// requiredVariable makes a failure of what would be a skip.
	requiredVariable = "PENTAD_E2E_REQUIRED"
	// killsVariable is how many leaders are killed to measure how long nobody can write.
	killsVariable = "PENTAD_E2E_KILLS"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run is this process's part: it may have been started as a guardian, or as clients.
func run(m *testing.M) int {
	if is, status := estate.Guard(); is {
		return status
	}
	if is, status := history.Serve(); is {
		return status
	}
	if err := missing(); err != nil {
		if os.Getenv(requiredVariable) != "" {
			fmt.Fprintf(os.Stderr, "FAIL: the tests of real processes cannot run here: %v\n", err)
			return 1
		}
		fmt.Fprintf(os.Stderr, "\n*** SKIPPED: the tests of real processes cannot run here: %v\n\n", err)
		return 0
	}
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
}

// missing says what the tests need and do not have.
func missing() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("this is not root: namespaces, mounts and tun devices need it"))
	}
	for tool, of := range map[string]string{"ip": "iproute2", "mkfs.ext4": "e2fsprogs", "mount": "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			errs = append(errs, fmt.Errorf("%s is missing: install %s", tool, of))
		}
	}
	for _, device := range []string{"/dev/net/tun", "/dev/loop-control"} {
		if _, err := os.Stat(device); err != nil {
			errs = append(errs, fmt.Errorf("the kernel has no %s", device))
		}
	}
	if binary := os.Getenv(binaryVariable); binary == "" {
		errs = append(errs, fmt.Errorf("%s does not name the pentad executable (make e2e does)", binaryVariable))
	} else if _, err := os.Stat(binary); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", binaryVariable, err))
	}
	return errors.Join(errs...)
}
