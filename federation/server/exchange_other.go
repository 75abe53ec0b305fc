//go:build !linux

package server

import "errors"

// exchange gives each of two paths what is at the other, in one step.
func exchange(_, _ string) error { return errors.ErrUnsupported }
