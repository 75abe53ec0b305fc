package render

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A golden file that gRPC rejects would be worth nothing.
func TestClientAcceptsEveryGolden(t *testing.T) {
	inputs, _ := filepath.Glob("testdata/in/*.yaml")
	for _, input := range inputs {
		s := parseScenario(t, readFile(t, input))
		if s.Service == "" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(input), ".yaml"), func(t *testing.T) {
			t.Parallel()
			if nacks := offer(t, s, s.view()); len(nacks) > 0 {
				t.Fatalf("rejected: %q", nacks)
			}
		})
	}
}

// What gRPC is known to reject, it rejects here: the test above can fail.
func TestClientRejectsBrokenRules(t *testing.T) {
	for input, broken := range map[string]breakage{"region-down": breakGaps, "duplicates": breakDuplicates} {
		s := parseScenario(t, readFile(t, filepath.Join("testdata", "in", input+".yaml")))
		v := s.view()
		v.broken = broken
		if nacks := offer(t, s, v); len(nacks) == 0 {
			t.Errorf("%s: accepted", input)
		} else {
			t.Log(nacks)
		}
	}
}

// offer serves a scenario to a client until it has acknowledged or rejected every type.
func offer(t *testing.T, s scenario, v View) []string {
	r := newRelay(t, v)
	r.world = s.enact(t)
	r.render()
	conn := r.dial("xds:///" + s.Service)
	conn.Connect()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		r.ads.mu.Lock()
		done := len(r.ads.acked) == 4 || len(r.ads.nacks) > 0
		r.ads.mu.Unlock()
		if done {
			return r.ads.rejected()
		}
	}
	t.Fatal("the client doesn't answer")
	return nil
}

// Silence leaves a client waiting where an empty assignment is refused at once.
func TestSilenceLeavesAClientWaiting(t *testing.T) {
	v := hangzhou
	v.broken = breakSilence
	r := newRelay(t, v)
	r.ads.silent = true
	r.export("orders", export{Cluster: "hz-a"})
	r.render()
	if _, err := call(r.dial("xds:///orders"), "", 2*time.Second); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
}

// A deletion leaves traffic running: the reason for content that refuses.
func TestDeletionLeavesTrafficRunning(t *testing.T) {
	v := hangzhou
	v.broken = breakGone
	r := newRelay(t, v)
	r.ads.silent = true
	r.export("orders", export{Cluster: "hz-a", Endpoints: backends(t, "hz-a", 1)})
	r.render()
	conn := r.dial("xds:///orders")
	eventually(t, conn, "hz-a")
	r.withdraw("orders", "hz-a")
	r.render()
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		if _, err := call(conn, "", patience); err != nil {
			t.Fatalf("this gRPC stops at a deletion: %v", err)
		}
	}
}
