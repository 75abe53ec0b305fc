package dev

import (
	"slices"

	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
)

// CutFile says which processes are cut off from each other now; see process/cut. Each process of the estate follows it,
// and so may who plays one (cut.Open).
func (s *Site) CutFile() string { return s.path("cut.json") }

// Cut cuts the estate's network, in place of what was cut before. It holds a moment after it returns.
func (s *Site) Cut(cuts ...cut.Between) error {
	s.cutting.Lock()
	defer s.cutting.Unlock()
	s.cuts = slices.Clone(cuts)
	return s.saveCuts()
}

// Heal ends every cut.
func (s *Site) Heal() error { return s.Cut() }

// locate tells the cuts of processes that are new.
func (s *Site) locate() error {
	s.cutting.Lock()
	defer s.cutting.Unlock()
	return s.saveCuts()
}

// saveCuts writes the file with every address of the estate.
func (s *Site) saveCuts() error {
	file := &cut.File{Places: map[string]process.Place{}, Cuts: s.cuts}
	for _, name := range s.supervisor.Names() {
		status, ok := s.supervisor.Status(name)
		if !ok {
			continue
		}
		for _, l := range status.Spec.Listeners {
			file.Places[l.Address] = status.Spec.Place
		}
	}
	return file.Save(s.CutFile())
}
