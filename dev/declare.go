package dev

import "context"

// declare applies the estate's Centers and Clusters.
func (s *Site) declare(context.Context) error { return nil }
