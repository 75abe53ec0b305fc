// Package vm is a cluster of VMs as a source: services and instances from a watched file, and active health checks.
// DESIGN.md has the file's format, when a change is taken, and what a check decides.
package vm
