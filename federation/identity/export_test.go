package identity

// Reload reads the files again now.
func (s *Source) Reload() (bool, error) { return s.reload() }
