// Package catalog merges many clusters' feeds and the intent into services: a pure library of whoever reads the
// estate's discovery (relays, sinks, servers). See DESIGN.md.
package catalog
