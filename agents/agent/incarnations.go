package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"pentad.dev/pentad/agents/source"
	"pentad.dev/pentad/federation/feed"
)

// incarnations hands out the incarnations of the agent's feeds, each once: what is used is on disk before it is used
// (rule 1 of feeds). Any goroutine may call it.
type incarnations struct {
	path   string
	now    func() time.Time
	broken breakage

	mu   sync.Mutex
	used map[feed.ID]uint64
}

// openIncarnations reads the file in the agent's data folder. A damaged one is set aside: it is worth as much as one
// that was lost, and readers that hold higher incarnations will say so (rule 4).
func openIncarnations(dir string, now func() time.Time, log *slog.Logger, broken breakage) (*incarnations, error) {
	i := &incarnations{
		path: filepath.Join(dir, "incarnations.json"), now: now, broken: broken, used: map[feed.ID]uint64{},
	}
	data, err := os.ReadFile(i.path)
	if errors.Is(err, fs.ErrNotExist) {
		return i, nil
	}
	if err != nil {
		return nil, fmt.Errorf("incarnations: %w", err)
	}
	if err := json.Unmarshal(data, &i.used); err != nil {
		aside := i.path + ".damaged"
		log.Error("file of used incarnations is damaged and set aside", "error", err, "aside", aside)
		i.used = map[feed.ID]uint64{}
		if err := os.Rename(i.path, aside); err != nil {
			return nil, fmt.Errorf("incarnations: %w", err)
		}
	}
	return i, nil
}

// next returns an incarnation of the feed above the clock, above all that were used and above what was heard of.
func (i *incarnations) next(id feed.ID, heard uint64) (uint64, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.broken.reuseIncarnation && i.used[id] != 0 {
		return i.used[id], nil
	}
	incarnation := feed.NextIncarnation(i.now().UnixMilli(), i.used[id], heard, rand.Uint64())
	i.used[id] = incarnation
	if i.broken.forgetIncarnation {
		return incarnation, nil
	}
	data, err := json.MarshalIndent(i.used, "", " ")
	if err != nil {
		return 0, fmt.Errorf("incarnations: %w", err)
	}
	if err := source.WriteFile(i.path, append(data, '\n')); err != nil {
		return 0, fmt.Errorf("feed %s: incarnation not persisted, so not used: %w", id, err)
	}
	return incarnation, nil
}
