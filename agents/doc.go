// Package agents puts the agent process of one cluster together: its configuration file, its identity, its sources and
// the writer of its feeds (agents/agent). An adapter of a registry is a folder beside it and one case in sources.go.
package agents
