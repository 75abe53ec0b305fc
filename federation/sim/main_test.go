//go:debug tlsmlkem=0
// (Connections are made all the time here, and half of what that costs would be the second key exchange.)

package sim

import (
	"io"
	"os"
	"runtime/debug"
	"testing"

	"google.golang.org/grpc/grpclog"
)

func TestMain(m *testing.M) {
	// Connections that break are what a simulation is about.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	// Memory is plenty and time is not. But what runs leave behind (see tools/sim.sh) counts five times so, which after twenty
	// hours is more than a small machine has.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(3 << 30)
	os.Exit(m.Run())
}
