// Package registry serves the kinds of pentad.dev/v1alpha1 with the API machinery's generic registry: what a request
// must look like before it becomes a command, which fields only Pentad writes, and what kubectl shows. What objects
// mean is crds/v1alpha1's, which the state machine shares; a new kind is one more entry of kinds.
//
// References to other objects are checked on this server's replica. It may be behind: before it refuses for what it
// does not know, it catches up with what is acknowledged. What passes here is checked again by the state machine. So is
// a new switchover's plan, which is made here once for the sake of dry runs, and an approval's hash.
package registry
