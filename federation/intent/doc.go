// Package intent is the replicated state machine of what operators declare: Centers, Clusters and ServicePolicies. It
// turns the commands of the Raft log into objects, a history that can be watched, and the intent feed. It knows
// neither Raft nor the API server; see DESIGN.md.
package intent
