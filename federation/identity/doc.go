// Package identity gives a process its SPIFFE identity and the TLS configurations that follow from it.
//
// A SPIFFE ID of the estate is spiffe://<trust domain>/<role>/<name>: the role is what a process may do, the name is which
// one it is. Certificates and the bundle of authorities are read from files and read again when they change, so a rotated
// certificate is used by the next handshake, without a restart.
//
// Only the shells of processes import this package; rooms are handed a *tls.Config. See the SPIFFE standards SPIFFE-ID and
// X509-SVID.
package identity
