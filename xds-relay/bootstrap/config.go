package bootstrap

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Config says who the data plane is and where its relays are.
type Config struct {
	// Node names this data plane, unlike any other: for logs and traces, never for what it may see.
	Node string
	// Workload is what the data plane belongs to, often the service that it serves; may be empty.
	Workload string
	// Region and Center are where it is.
	Region, Center string
	// Relays are the relays of the center, two or more, nearest first: all IP addresses of one family with ports, or one
	// host name with a port that has an address for each relay.
	Relays []string
	// SingleRelay accepts one relay. While it is down its data planes get no updates.
	SingleRelay bool
	// Certificates are the files of the data plane's identity; nil: plaintext.
	Certificates *Certificates
}

// Certificates are files in PEM, read again when they change.
type Certificates struct {
	// Certificate and Key are the data plane's own, CA is whom it trusts.
	Certificate, Key, CA string
}

// Validate says all that is wrong, each with the field and its value.
func (c Config) Validate() error {
	var errs field.ErrorList
	if c.Node == "" {
		errs = append(errs, field.Required(field.NewPath("node"), "a name unlike that of any other data plane"))
	}
	errs = append(errs, label(field.NewPath("region"), c.Region)...)
	errs = append(errs, label(field.NewPath("center"), c.Center)...)
	if c.Certificates != nil {
		path := field.NewPath("certificates")
		for _, f := range []struct{ name, value string }{
			{"certificate", c.Certificates.Certificate}, {"key", c.Certificates.Key}, {"ca", c.Certificates.CA},
		} {
			if f.value == "" {
				errs = append(errs, field.Required(path.Child(f.name), "the name of a PEM file; all three or no certificates"))
			}
		}
	}
	_, relayErrs := serverURI(field.NewPath("relays"), c.Relays, c.SingleRelay)
	return append(errs, relayErrs...).ToAggregate()
}

func label(path *field.Path, value string) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "the name of a "+path.String())}
	}
	var errs field.ErrorList
	for _, why := range validation.IsDNS1123Label(value) {
		errs = append(errs, field.Invalid(path, value, why))
	}
	return errs
}

// serverURI is the one URI that names all relays.
func serverURI(path *field.Path, relays []string, single bool) (string, field.ErrorList) {
	if len(relays) == 0 {
		return "", field.ErrorList{field.Required(path, "host:port of the center's relays")}
	}
	var errs field.ErrorList
	var ips []netip.AddrPort
	var host string
	for i, relay := range relays {
		at := path.Index(i)
		name, port, err := splitHostPort(relay)
		if err != nil {
			errs = append(errs, field.Invalid(at, relay, err.Error()))
			continue
		}
		ip, err := netip.ParseAddr(name)
		switch {
		case err != nil && len(validation.IsDNS1123Subdomain(name)) > 0:
			errs = append(errs, field.Invalid(at, relay,
				fmt.Sprintf("%q must be an IP address or a DNS name in lower case", name)))
		case err != nil:
			host = relay
		case ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "":
			errs = append(errs, field.Invalid(at, relay, "must be an address that a relay listens on, without a zone"))
		case slices.Contains(ips, netip.AddrPortFrom(ip.Unmap(), port)):
			errs = append(errs, field.Duplicate(at, relay))
		default:
			ips = append(ips, netip.AddrPortFrom(ip.Unmap(), port))
		}
	}
	switch {
	case len(errs) > 0:
		return "", errs
	case host != "" && len(relays) > 1:
		return "", field.ErrorList{field.Invalid(path, relays,
			"must be IP addresses only, or one host name with an address for each relay: one URI names all relays")}
	case host != "":
		return "dns:///" + host, nil
	case len(ips) == 1 && !single:
		return "", field.ErrorList{field.Invalid(path, relays,
			"must name two relays or more: with one, data planes get no updates while it is down")}
	}
	return addressURI(path, relays, ips)
}

func addressURI(path *field.Path, relays []string, ips []netip.AddrPort) (string, field.ErrorList) {
	texts := make([]string, len(ips))
	for i, ip := range ips {
		if ip.Addr().Is4() != ips[0].Addr().Is4() {
			return "", field.ErrorList{field.Invalid(path, relays, "must be addresses of one family: one URI names all relays")}
		}
		texts[i] = ip.String()
	}
	scheme := "ipv6:"
	if ips[0].Addr().Is4() {
		scheme = "ipv4:"
	}
	return scheme + strings.Join(texts, ","), nil
}

func splitHostPort(s string) (string, uint16, error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("must be host:port")
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return "", 0, fmt.Errorf("port %q must be 1 to 65535", text)
	}
	return host, uint16(port), nil
}
