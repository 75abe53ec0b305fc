package model

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/federation/model/modelpb"
)

const (
	// MaxSliceEndpoints bounds an EndpointSlice, as Kubernetes does, so that one change rewrites little.
	MaxSliceEndpoints = 1000
	// MaxWeight bounds an endpoint's weight: the weights of 65,536 endpoints still sum up to what xDS can hold.
	MaxWeight = 1<<16 - 1
)

// ValidateService says all that is wrong with a Service.
func ValidateService(s *modelpb.Service) field.ErrorList {
	errs := ValidateServiceName(field.NewPath("name"), s.GetName())
	path := field.NewPath("ports")
	if len(s.GetPorts()) == 0 {
		errs = append(errs, field.Required(path, "a service has at least one port"))
	}
	names, numbers := map[string]bool{}, map[uint32]bool{}
	for i, p := range s.GetPorts() {
		at := path.Index(i)
		errs = append(errs, ValidatePort(at, p)...)
		if names[p.GetName()] {
			errs = append(errs, field.Duplicate(at.Child("name"), p.GetName()))
		}
		if numbers[p.GetNumber()] {
			errs = append(errs, field.Duplicate(at.Child("number"), p.GetNumber()))
		}
		names[p.GetName()], numbers[p.GetNumber()] = true, true
	}
	if s.GetCreatedUnixMs() < 0 {
		errs = append(errs, field.Invalid(field.NewPath("created_unix_ms"), s.GetCreatedUnixMs(), "must not be negative"))
	}
	return errs
}

// ValidatePort says all that is wrong with one port of a service. A protocol that is not said is TCP.
func ValidatePort(path *field.Path, p *modelpb.Port) field.ErrorList {
	errs := ValidatePortName(path.Child("name"), p.GetName())
	errs = append(errs, ValidatePortNumber(path.Child("number"), int64(p.GetNumber()))...)
	if _, known := modelpb.Protocol_name[int32(p.GetProtocol())]; !known {
		errs = append(errs, field.NotSupported(path.Child("protocol"), p.GetProtocol().String(), protocols))
	}
	return errs
}

var protocols = []string{"PROTOCOL_TCP", "PROTOCOL_HTTP", "PROTOCOL_GRPC"}

// ValidateEndpointSlice says all that is wrong with an EndpointSlice.
func ValidateEndpointSlice(s *modelpb.EndpointSlice) field.ErrorList {
	errs := ValidateServiceName(field.NewPath("service"), s.GetService())
	if s.GetUnit() != "" {
		errs = append(errs, messages(field.NewPath("unit"), s.GetUnit(), validation.IsDNS1123Label(s.GetUnit()))...)
	}
	path := field.NewPath("port_names")
	if len(s.GetPortNames()) == 0 {
		errs = append(errs, field.Required(path, "endpoints serve at least one port"))
	}
	seen := map[string]bool{}
	for i, name := range s.GetPortNames() {
		errs = append(errs, ValidatePortName(path.Index(i), name)...)
		if seen[name] {
			errs = append(errs, field.Duplicate(path.Index(i), name))
		}
		seen[name] = true
	}
	path = field.NewPath("endpoints")
	if n := len(s.GetEndpoints()); n > MaxSliceEndpoints {
		return append(errs, field.TooMany(path, n, MaxSliceEndpoints))
	}
	taken := map[netip.AddrPort]int{}
	for i, e := range s.GetEndpoints() {
		errs = append(errs, validateEndpoint(path.Index(i), e, len(s.GetPortNames()))...)
		for j, port := range e.GetPorts() {
			addr, err := netip.ParseAddr(e.GetAddress())
			if err != nil || port > 1<<16-1 {
				continue // said above
			}
			at := netip.AddrPortFrom(addr, uint16(port))
			// One endpoint may serve two of its ports at one number; two endpoints cannot.
			if other, dup := taken[at]; dup && other != i {
				errs = append(errs, field.Duplicate(path.Index(i).Child("ports").Index(j), at.String()))
			}
			taken[at] = i
		}
	}
	return errs
}

func validateEndpoint(path *field.Path, e *modelpb.Endpoint, ports int) field.ErrorList {
	errs := ValidateAddress(path.Child("address"), e.GetAddress())
	if len(e.GetPorts()) != ports {
		errs = append(errs, field.Invalid(path.Child("ports"), e.GetPorts(),
			fmt.Sprintf("must have one number for each of the %d port_names", ports)))
	}
	for i, port := range e.GetPorts() {
		errs = append(errs, ValidatePortNumber(path.Child("ports").Index(i), int64(port))...)
	}
	if _, known := modelpb.EndpointState_name[int32(e.GetState())]; !known {
		errs = append(errs, field.NotSupported(path.Child("state"), e.GetState().String(), states))
	}
	return append(errs, ValidateWeight(path.Child("weight"), int64(e.GetWeight()))...)
}

var states = []string{"ENDPOINT_STATE_READY", "ENDPOINT_STATE_DRAINING", "ENDPOINT_STATE_UNHEALTHY"}

// ValidateSourceReport says all that is wrong with a SourceReport.
func ValidateSourceReport(r *modelpb.SourceReport) field.ErrorList {
	return ValidateSourceName(field.NewPath("source"), r.GetSource())
}

// ValidateServiceName holds a service's name to a DNS subdomain (RFC 1123).
func ValidateServiceName(path *field.Path, name string) field.ErrorList {
	return messages(path, name, validation.IsDNS1123Subdomain(name))
}

// ValidateSourceName holds a source's name, the last part of its feed's id, to a DNS label (RFC 1123).
func ValidateSourceName(path *field.Path, name string) field.ErrorList {
	return messages(path, name, validation.IsDNS1123Label(name))
}

// ValidatePortName holds a port's name to a DNS label (RFC 1123).
func ValidatePortName(path *field.Path, name string) field.ErrorList {
	return messages(path, name, validation.IsDNS1123Label(name))
}

// ValidatePortNumber holds a port's number to 1..65535.
func ValidatePortNumber(path *field.Path, number int64) field.ErrorList {
	if number < 1 || number > 1<<16-1 {
		return field.ErrorList{field.Invalid(path, number, "must be between 1 and 65535")}
	}
	return nil
}

// ValidateWeight holds a weight to 0..MaxWeight; 0 means 1.
func ValidateWeight(path *field.Path, weight int64) field.ErrorList {
	if weight < 0 || weight > MaxWeight {
		return field.ErrorList{field.Invalid(path, weight, fmt.Sprintf("must be between 0 and %d", MaxWeight))}
	}
	return nil
}

// ValidateAddress holds an address to an IP address in its one canonical spelling, and to one that can be connected to.
func ValidateAddress(path *field.Path, address string) field.ErrorList {
	addr, err := netip.ParseAddr(address)
	var want string
	switch {
	case err != nil:
		want = "must be an IPv4 or IPv6 address, like 10.1.2.3 or fd00::7; names are not resolved"
	case addr.Zone() != "":
		want = "must have no zone: it means nothing on another machine"
	case addr.IsUnspecified() || addr.IsMulticast():
		want = "must be an address of one machine"
	case addr.Unmap().String() != address:
		want = fmt.Sprintf("must be spelled %s", addr.Unmap())
	default:
		return nil
	}
	return field.ErrorList{field.Invalid(path, address, want)}
}

func messages(path *field.Path, value string, all []string) field.ErrorList {
	var errs field.ErrorList
	for _, m := range all {
		errs = append(errs, field.Invalid(path, value, m))
	}
	return errs
}

// invalid is nil for an empty list.
func invalid(kind, key string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s %q: %w", ErrInvalid, kind, key, errs.ToAggregate())
}
