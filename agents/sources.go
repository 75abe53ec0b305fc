package agents

import (
	"log/slog"
	"path/filepath"

	"pentad.dev/pentad/agents/source"
	"pentad.dev/pentad/agents/vm"
)

// newSource is the adapter that reads a source; dir is the agent's data folder.
func newSource(s Source, dir string, log *slog.Logger) (source.Source, error) {
	// Validate has refused every other type than SourceFile.
	return vm.New(vm.Config{
		Path: s.Path, Since: filepath.Join(dir, "since-"+s.Name+".json"), Log: log.With("source", s.Name),
	})
}
