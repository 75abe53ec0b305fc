// Package storage is k8s.io/apiserver's storage.Interface over the replicated intent: reads from this server's
// replica, writes as compare-and-swap commands. DESIGN.md says how a request passes through it, and why.
package storage
