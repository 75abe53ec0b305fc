// Package agents puts one cluster's agent process together: its sources, the feeds that they are written to, and where
// those are published.
package agents
