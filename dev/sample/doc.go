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
package sample
