// Package server puts one federation server together: a voter of the replicated intent, its Kubernetes-style API, and the
// feeds that it takes from agents and peers and serves to whoever asks.
package server
