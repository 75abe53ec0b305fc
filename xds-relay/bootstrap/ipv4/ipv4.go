// Package ipv4 gives grpc-go the target schemes ipv4: and ipv6: of gRPC's naming document, a list of addresses as in
// "ipv4:10.0.0.1:9000,10.0.0.2:9000", which other gRPCs have built in. Bootstraps of Pentad name the relays of a
// center in this form.
//
// A grpc-go xDS client dials server_uri by grpc.NewClient, which looks for schemes among the resolvers that are
// registered for the whole process, and has no way to be given one. So this package must be registered there, by a call
// that the program's main function makes:
//
//	func main() {
//		ipv4.Register()
//		...
//
// Importing it does nothing.
package ipv4

import (
	"fmt"
	"net/netip"
	"strings"

	"google.golang.org/grpc/resolver"
)

// Schemes that Builder knows.
const (
	SchemeV4 = "ipv4"
	SchemeV6 = "ipv6"
)

// Register registers both schemes for the whole process. As grpc's resolver.Register it must be called before the first
// channel is made, and isn't safe to call from several goroutines.
func Register() {
	resolver.Register(Builder(SchemeV4))
	resolver.Register(Builder(SchemeV6))
}

// Builder is the resolver of one scheme, for a channel of one's own: grpc.WithResolvers(ipv4.Builder(ipv4.SchemeV4)).
func Builder(scheme string) resolver.Builder { return builder{scheme} }

// defaultPort is that of gRPC's naming document.
const defaultPort = 443

type builder struct{ scheme string }

func (b builder) Scheme() string { return b.scheme }

// Build gives the channel the addresses, in order, once: they never change. Each address is its own server name, so a
// certificate is checked against the address that was dialled, not against the list.
func (b builder) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver,
	error) {
	addresses, err := b.parse(target.Endpoint())
	if err != nil {
		return nil, err
	}
	state := resolver.State{}
	for _, a := range addresses {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{
			Addresses: []resolver.Address{{Addr: a.String(), ServerName: a.String()}},
		})
	}
	if err := cc.UpdateState(state); err != nil {
		return nil, fmt.Errorf("%s: %w", target.URL.String(), err)
	}
	return fixed{}, nil
}

// OverrideAuthority keeps the list out of the :authority header, which holds one host.
func (b builder) OverrideAuthority(target resolver.Target) string {
	first, _, _ := strings.Cut(target.Endpoint(), ",")
	return first
}

func (b builder) parse(list string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, text := range strings.Split(list, ",") {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			ip, ipErr := netip.ParseAddr(strings.Trim(text, "[]"))
			if ipErr != nil {
				return nil, fmt.Errorf("target %s:%s: invalid address %q: must be address:port", b.scheme, list, text)
			}
			a = netip.AddrPortFrom(ip, defaultPort)
		}
		if a.Addr().Is4() != (b.scheme == SchemeV4) {
			return nil, fmt.Errorf("target %s:%s: invalid address %q: not of scheme %s", b.scheme, list, text, b.scheme)
		}
		out = append(out, a)
	}
	return out, nil
}

// fixed is a resolver that has said all it knows.
type fixed struct{}

func (fixed) ResolveNow(resolver.ResolveNowOptions) {}
func (fixed) Close()                                {}
