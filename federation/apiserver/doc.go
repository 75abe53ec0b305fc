// Package apiserver serves the intent as a Kubernetes-style API, so that kubectl, client-go and GitOps tools speak to
// any of the federation's servers. It is k8s.io/apiserver's generic server without etcd: storage puts the replicated
// state machine in etcd's place, registry says what the kinds are, and this package puts them together with TLS, the
// rights of client certificates, and the audit log. It knows the intent through Backend only, and nothing of how it
// is replicated.
//
// The way of a request: TLS; who is it (the client certificate's CN and O); audit; may they (authorize.go); fields
// that only Pentad sets (owned.go, registry); the generic registry's decoding, defaulting, validation and field
// management; storage. A decision on a switchover (approve, abort) is posted to a subresource and becomes a typed
// command: who decided is who asked, and legality is the state machine's alone.
//
// Rejected: the library's own options (they bring etcd and delegated authentication); a watch cache (every server
// already has the whole state in memory); priority and fairness (it needs an API of its own; plain limits do).
package apiserver
