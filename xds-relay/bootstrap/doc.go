// Package bootstrap writes the configuration with which a data plane finds its relays.
//
// For gRPC that is the xDS bootstrap JSON (gRFC A27, A36, A65): pass it in GRPC_XDS_BOOTSTRAP (a file's name) or
// GRPC_XDS_BOOTSTRAP_CONFIG (the JSON itself).
//
// All relays of the center are in one server_uri. gRPC's channel to it connects to the first that answers and, when
// that one dies, to the next, without the client's doing anything; several xds_servers would be fallbacks of gRFC A71
// instead, which are used only while something is missing from the cache, so a client that has everything would stay
// without updates for as long as its relay is down. A data plane keeps what it has meanwhile.
//
// The URI is of one of two forms:
//
//   - dns:///relays.example:9000, a host name with an address for each relay. Every gRPC understands it;
//   - ipv4:10.0.0.1:9000,10.0.0.2:9000, or ipv6:, the addresses themselves, as gRPC's naming document defines them. The
//     C core (Python, C++, Ruby) and grpc-js understand it. grpc-go doesn't: a Go program must call ipv4.Register, from
//     the package beside this one, before it makes its first xds channel.
//
// With TLS and a list of addresses the relays' certificates must have the addresses as IP SANs; grpc-go with
// ipv4.Register checks each relay's certificate against its own address.
//
// gRPC fixes the keepalive of its channel to a relay at 5 min + 20 s, so a relay whose machine vanishes without a word
// is noticed late unless the kernel's TCP_USER_TIMEOUT is shorter; one that dies, or is shut down, is noticed at once.
//
// The file asks for ignore_resource_deletion (gRFC A53): deletions are never a means of stopping traffic here, so a
// Listener that a relay doesn't name must not end the calls of a client that has it.
package bootstrap
