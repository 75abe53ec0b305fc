package cut

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"pentad.dev/pentad/process"
)

// Env is the variable that names the file.
const Env = "PENTAD_CUT"

// anyName stands for every name.
const anyName = "*"

// File is what the file says, as JSON or YAML.
type File struct {
	// Places are where addresses (host:port) are.
	Places map[string]process.Place `json:"places"`
	// Cuts are what is cut now.
	Cuts []Between `json:"cuts"`
}

// Between is a cut between what From selects and what To selects outside of From, in both directions. Nothing is cut
// inside From.
type Between struct {
	From Selector `json:"from"`
	To   Selector `json:"to"`
}

// Selector selects places: those of the region, the center, or both. Empty and * are any.
type Selector struct {
	Region string `json:"region,omitempty"`
	Center string `json:"center,omitempty"`
}

// Validate refuses a file with every wrong field named.
func (f *File) Validate() error {
	var errs []error
	for _, address := range slices.Sorted(maps.Keys(f.Places)) {
		field := fmt.Sprintf("places[%s]", address)
		errs = append(errs, process.Address(field, address))
		if err := f.Places[address].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
	}
	for i, c := range f.Cuts {
		if c.From.all() {
			errs = append(errs, fmt.Errorf("cuts[%d].from: must name a region or a center: inside it nothing is cut", i))
		}
	}
	return errors.Join(errs...)
}

// Save puts the file in place, whole.
func (f *File) Save(path string) error {
	if err := f.Validate(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	next := path + ".next"
	if err := os.WriteFile(next, data, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

func (s Selector) all() bool { return every(s.Region) && every(s.Center) }

func (s Selector) selects(p process.Place) bool {
	return (every(s.Region) || s.Region == p.Region) && (every(s.Center) || s.Center == p.Center)
}

func every(name string) bool { return name == "" || name == anyName }

// separates says whether a cut lies between two places.
func (b Between) separates(p, q process.Place) bool {
	in, out := b.From.selects(p), b.From.selects(q)
	return in && !out && b.To.selects(q) || out && !in && b.To.selects(p)
}
