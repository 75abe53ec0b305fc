package relay

import (
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/stream"
	"pentad.dev/pentad/xds-relay/serve"
)

// Status is what the relay's status page says.
type Status struct {
	Name    string `json:"name"`
	Cluster string `json:"cluster"`
	process.Place
	Version string `json:"version"`
	// Feeds are the copies that the relay holds, by feed.
	Feeds map[feed.ID]feed.Report `json:"feeds"`
	// Resources is the feed of what the relay renders.
	Resources feed.Report `json:"resources"`
	// Rendered is the intent's revision that Resources reflects.
	Rendered uint64 `json:"rendered"`
	// Silent are the clusters whose endpoints are demoted because nothing is heard of them.
	Silent []string `json:"silent"`
	// Withdrawn are those of them that have expired: their endpoints are left out.
	Withdrawn []string `json:"withdrawn,omitempty"`
	// Servers are the connections to the federation servers.
	Servers []feed.PeerStatus `json:"servers"`
	// Streams are the data planes.
	Streams []serve.StreamStatus `json:"streams"`
	// Permits is the relay's own permit, Guards are those that it hands it on to.
	Permits stream.ClientStatus `json:"permits"`
	Guards  permit.HopStatus    `json:"guards"`
	// Problems are records that can't be used and services that can't be rendered, and what they were before stays in
	// force; and services with units to which every call is refused.
	Problems []string `json:"problems,omitempty"`
}

func (r *Relay) status() any {
	s := Status{
		Name: r.config.Name, Cluster: r.config.Cluster, Place: r.config.Place, Version: process.Version(),
		Feeds: r.upstream.Set().Report(), Resources: r.resources.Report(),
		Servers: r.upstream.Status(), Streams: r.xds.Streams(),
		Permits: r.permits.client.Status(), Guards: r.permits.hop.Status(),
	}
	r.pipeline.report(&s)
	return s
}
