// Package sample is a workload to watch an estate with: the services catalog, assets and orders as real gRPC servers,
// and a load generator of proxyless gRPC clients that remembers every request.
//
// Both sides are configured by xDS alone: they read the bootstrap that GRPC_XDS_BOOTSTRAP names, as any gRPC program
// does. A Server hosts some instances, each with a listener of its own, and its answers say which instance they come
// from. A Load calls xds:///<service> at a fixed rate, whatever comes back (an open loop: a slow answer does not lower
// the load), without WaitForReady and without a retry policy, so that an error shows. What grpc-go still does by itself
// is the transparent retry of gRFC A6: a request that provably never reached a server's application (it was not
// written, or the server's GOAWAY or REFUSED_STREAM says so) is sent once more. A request that waits because every
// connection is being made is queued by gRPC until its deadline.
//
// # Units
//
// An instance may belong to a unit's cell. It then has a guard of its own (unitization/guard) with the cell's
// certificate, and what it is told to write goes to the unit's Store, a ledger (package ledger). The way of a write:
//
//	Load ── guard's client side ── xDS route ──▶ guard ──▶ handler ──▶ Store
//	        stamps, tries again                  journal                log
//
// Each write has a name, which the client chose: the store writes it once, however often it comes. There are three
// outcomes, and nobody may take one for another:
//
//   - acknowledged: a majority of the store's members has it on disk;
//   - refused (FAILED_PRECONDITION): it was not written. A guard refuses, a route does, or a handler whose store takes
//     no writes and has not written;
//   - unknown (anything else): it may be there or not.
//
// The load generator makes its writes round all shards, beside its reads, and records for each how often it was sent
// and refused before its outcome. It computes shards by itself: what routes and guards make of a key is compared with
// that, not derived from the same table. The guards' journals say what was let through, before the handler began, so
// before a freeze could be acknowledged. Journals, records and logs are files that outlive SIGKILL; who judges reads
// nothing else (drill/oracle).
//
// When a Server stops, its guards drain first, then the servers, then the ledgers that it hosts: each needs the next.
package sample
