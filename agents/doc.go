// Package agents puts the agent process of one cluster together: its configuration file, its identity, its sources and
// the writer of its feeds (agents/agent); and, in a cluster with members of stores, what obeys the orders for them
// (agents/orders) and hands permits on to them (agents/permits). An adapter of a registry is a folder beside it and one
// case in sources.go.
package agents
