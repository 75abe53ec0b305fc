//go:build linux && e2e

package disk

import (
	"fmt"
	"os"
	"testing"

	"pentad.dev/pentad/e2e-multicluster/needs"
)

func TestMain(m *testing.M) {
	if is, status := Guard(); is {
		os.Exit(status)
	}
	if folder := os.Getenv(victim); folder != "" {
		fmt.Fprintln(os.Stderr, "victim:", hang(folder))
		os.Exit(1)
	}
	os.Exit(needs.Run(m.Run))
}
