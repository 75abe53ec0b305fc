package drill

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/drill/report"
)

// TestEachPlantedFaultIsFound holds a whole drill for each plant, about ten minutes in all, and needs the real
// processes: it runs when PENTAD_BINARY names the executable.
//
//	make build && PENTAD_BINARY=$PWD/.bin/pentad go test -run EachPlantedFault -timeout 30m -v ./dev/drill
func TestEachPlantedFaultIsFound(t *testing.T) {
	binary := os.Getenv("PENTAD_BINARY")
	if binary == "" {
		t.Skip("PENTAD_BINARY does not name the executable")
	}
	rules := map[string]string{
		PlantRemoval: oracle.RuleRemoved, PlantStarved: oracle.RuleStarved, PlantLost: oracle.RuleLost,
		PlantUnequal: oracle.RuleUnequal,
		PlantSpread:  oracle.RuleSpread, PlantWrite: oracle.RuleWrite,
		PlantAsynchronous: oracle.RuleWritten,
	}
	for _, plant := range Plants() {
		t.Run(plant, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "drill")
			d, err := New(Config{
				Data: data, Binary: binary, Out: io.Discard, Log: slog.New(slog.DiscardHandler), Plant: plant, Strict: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Run(context.Background()); !errors.Is(err, ErrFailed) {
				t.Errorf("the drill says %v, want %v", err, ErrFailed)
			}
			text, err := os.ReadFile(filepath.Join(data, "report.json"))
			if err != nil {
				t.Fatal(err)
			}
			var r report.Report
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Verdict.Findings {
				if !f.Pass {
					t.Logf("%s: %v", f.Rule, f.Examples)
				}
				if f.Rule == rules[plant] && f.Pass {
					t.Errorf("%s passes: %s", f.Rule, f.Measured)
				}
			}
		})
	}
}
