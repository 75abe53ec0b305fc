package agents

import (
	"log/slog"
	"os"
	"path/filepath"

	"pentad.dev/pentad/agents/source"
	"pentad.dev/pentad/agents/vm"
	"pentad.dev/pentad/process"
)

// newSource is the adapter that reads a source; dir is the agent's data folder. A registry file that is there and wrong is a
// UsageError: nothing of it is in force yet, so the agent need not start. While it runs the last good content stays.
func newSource(s Source, dir string, log *slog.Logger) (source.Source, error) {
	// Validate has refused every other type than SourceFile.
	if text, err := os.ReadFile(s.Path); err == nil {
		if _, err := vm.Parse(text); err != nil {
			return nil, process.Usagef("source %s: registry file %s: %w", s.Name, s.Path, err)
		}
	}
	return vm.New(vm.Config{
		Path: s.Path, Since: filepath.Join(dir, "since-"+s.Name+".json"), Log: log.With("source", s.Name),
	})
}
