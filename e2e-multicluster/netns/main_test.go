//go:build linux && e2e

package netns

import (
	"os"
	"testing"

	"pentad.dev/pentad/e2e-multicluster/needs"
)

func TestMain(m *testing.M) { os.Exit(needs.Run(m.Run)) }
