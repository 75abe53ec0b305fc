//go:build !planted

package controller

// The leader's rules that are broken: none, but in builds with the tag "planted".
const (
	waitsLess         = false
	trustsPredecessor = false
	removesAtOnce     = false
)
