// Package render makes xDS resources of services: a pure function of (service, view), and a Renderer that keeps a feed
// of resources equal to a catalog. See DESIGN.md.
package render
