package drill

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/process"
)

// Errors of Run. Whatever else it returns, the drill could not be held; in each case there is a report if it had begun.
var (
	// ErrFailed says that the verdict is no.
	ErrFailed = errors.New("the drill's verdict is no")
	// ErrInterrupted says that ctx ended first.
	ErrInterrupted = errors.New("the drill was interrupted")
)

// Config says what to drill.
type Config struct {
	// Estate is the path of the estate file; empty: the one that is built in. It must have at least three centers.
	Estate string
	// Data is the drill's folder. What an earlier drill left there is removed; any other folder that is not empty is
	// refused.
	Data string
	// Keep leaves the processes' own data in the folder. Reports, logs and request records stay in any case.
	Keep bool
	// Binary is the executable of all processes; empty: this one.
	Binary string
	// Version is told in the report.
	Version string
	// Out gets the table or the lines, and the report.
	Out io.Writer
	// Plain prints lines even when Out is a terminal.
	Plain bool
	// Strict makes a missed bound of speed a failure, as a broken promise is.
	Strict bool
	Log    *slog.Logger
	// Bounds are what is promised; the zero value means oracle.DefaultBounds.
	Bounds oracle.Bounds
	// Story is one of Stories; empty: the first.
	Story string
	// Plant breaks something on purpose, to see that the verdict finds it; one of Plants, or empty.
	Plant string
}

// What can be planted.
const (
	// PlantRemoval takes an instance out for the record, but not out of the registry file.
	PlantRemoval = "removal"
	// PlantStarved empties the registry files of a service for some seconds, unrecorded.
	PlantStarved = "starved"
	// PlantLost deletes an object of the writer behind its back.
	PlantLost = "lost"
	// PlantUnequal pauses a relay before the final comparison.
	PlantUnequal = "unequal"
	// PlantSpread pauses a relay again and again while endpoints change.
	PlantSpread = "spread"
	// PlantWrite pauses two more servers for some seconds when the leader is killed.
	PlantWrite = "write"
	// PlantAsynchronous has stores acknowledge what their primary alone has: a disaster loses it. Of the story of units.
	PlantAsynchronous = "asynchronous"
)

// Plants are all that can be planted.
func Plants() []string {
	return []string{PlantRemoval, PlantStarved, PlantLost, PlantUnequal, PlantSpread, PlantWrite, PlantAsynchronous}
}

// fewestCenters is how many centers the steps need: a leader may die, and a region.
const fewestCenters = 3

func (c Config) validate() error {
	if c.Data == "" {
		return process.Usagef("data folder: must be named")
	}
	if c.Plant != "" && !slices.Contains(Plants(), c.Plant) {
		return process.Usagef("plant: %q is none of %s", c.Plant, strings.Join(Plants(), ", "))
	}
	estate, err := dev.ReadEstate(c.Estate)
	if err != nil {
		return err
	}
	regions, full := map[string]bool{}, 0
	for _, p := range estate.Places() {
		if p.Full() {
			regions[p.Region] = true
			full++
		}
	}
	switch {
	case len(estate.Places()) < fewestCenters:
		return process.Usagef("estate: regions: a drill needs %d centers or more, not %d: one less must still be a majority",
			fewestCenters, len(estate.Places()))
	case len(regions) < 2:
		return process.Usagef(
			"estate: regions: a drill needs Full centers in two regions or more, not in %d: one region is killed",
			len(regions),
		)
	}
	largest := map[string]int{}
	for _, p := range estate.Places() {
		largest[p.Region]++
	}
	victim := estate.Places()[0].Region
	if 2*largest[victim] >= len(estate.Places()) {
		return process.Usagef(
			"estate: regions[0]: %s has %d of %d centers: the drill kills the first region, the rest must be a majority",
			victim,
			largest[victim],
			len(estate.Places()),
		)
	}
	for _, s := range estate.Services {
		if s.Instances < 2 {
			return process.Usagef(
				"estate: services: %s has %d instance in a center: a drill drains one and needs 2 or more",
				s.Name,
				s.Instances,
			)
		}
	}
	if c.Story == StoryUnits && len(estate.Unitizations) == 0 {
		return process.Usagef("estate: unitizations: story %s moves units, and this estate has none: take --story %s", StoryUnits,
			StoryDiscovery)
	}
	return nil
}
