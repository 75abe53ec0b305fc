package vm

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"pentad.dev/pentad/federation/model/modelpb"
)

// Registry is the content of a registry file: valid, with defaults filled in. It is never modified.
type Registry struct {
	Services []*Service
}

// Service is a service of the file.
type Service struct {
	Name  string
	Ports []Port
	// Check is nil when the file alone says which instances are ready.
	Check     *Check
	Instances []*Instance
}

// Port is a port of a service, as clients name it.
type Port struct {
	Name     string
	Number   uint32
	Protocol modelpb.Protocol
}

// CheckType is how an instance is asked whether it is healthy.
type CheckType string

// The types of checks. TCP connects; HTTP gets a path and wants a status of 200 to 399; GRPC calls grpc.health.v1 and
// wants SERVING.
const (
	CheckTCP  CheckType = "tcp"
	CheckHTTP CheckType = "http"
	CheckGRPC CheckType = "grpc"
)

// Check is how a service's instances are checked. Checks are values and can be compared.
type Check struct {
	Type CheckType
	// Port is the name of the service's port that is asked.
	Port string
	// Path is what HTTP gets.
	Path string
	// Service is what GRPC asks about; empty: the server as a whole.
	Service string
	// Interval is the time from one check's end to the next one's start, give or take a tenth.
	Interval time.Duration
	Timeout  time.Duration
	// Healthy is how many checks in a row an unhealthy instance has to pass, Unhealthy how many a healthy one has to
	// fail. A new instance's first check decides alone.
	Healthy, Unhealthy int
}

// Instance is a process that serves.
type Instance struct {
	Name    string
	Address string
	Ports   map[string]uint32
	Weight  uint32
	// Draining instances finish what they have and get nothing new; they are not checked.
	Draining bool
	// Unit is the unit that the instance belongs to; empty: every unit with a cell in this center.
	Unit string
}

// at is where the instance listens for one of its ports.
func (i *Instance) at(port string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(i.Address), uint16(i.Ports[port]))
}

// listens is every address and port of the instance, in the order of the ports' names.
func (i *Instance) listens() []netip.AddrPort {
	all := make([]netip.AddrPort, 0, len(i.Ports))
	for _, port := range slices.Sorted(maps.Keys(i.Ports)) {
		all = append(all, i.at(port))
	}
	return all
}

// Defaults of a check.
const (
	defaultInterval  = time.Second
	defaultTimeout   = 500 * time.Millisecond
	defaultHealthy   = 1
	defaultUnhealthy = 2
)

// Bounds of a check: below them it is a flood, above them it is none.
const (
	minInterval, maxInterval = 10 * time.Millisecond, time.Hour
	minTimeout, maxTimeout   = time.Millisecond, time.Minute
	maxThreshold             = 100
)
