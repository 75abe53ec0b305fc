// Package pentad is the root of the module; its tests guard the structure of the whole (see walls_test.go). The program
// is cmd/pentad, the rooms are described in docs/architecture.md.
package pentad
