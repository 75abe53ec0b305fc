package dev

import (
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/process"
)

// AdminPages are the admin pages of the servers, relays and agents of the estate in a data folder, by process.
func AdminPages(data string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(data, "config", "*.yaml"))
	if err != nil {
		return nil, process.Usagef("data folder %q: %w", data, err)
	}
	pages := map[string]string{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var config struct {
			Listen struct {
				Admin string `json:"admin"`
			} `json:"listen"`
			DataDir string `json:"dataDir"`
		}
		if err := yaml.Unmarshal(text, &config); err != nil {
			return nil, process.Usagef("%s: %w", path, err)
		}
		if config.DataDir != "" { // the sample workload has none, and nothing to tell
			pages[strings.TrimSuffix(filepath.Base(path), ".yaml")] = config.Listen.Admin
		}
	}
	if len(pages) == 0 {
		return nil, process.Usagef("data folder %q holds no estate: start one with pentad dev, or name admin addresses", data)
	}
	return pages, nil
}
