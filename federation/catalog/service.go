package catalog

import (
	"fmt"
	"iter"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/model/modelpb"
)

// Service is what all clusters together say of one service. It is immutable and shared: nobody may change it, or
// anything that it points to. A change makes a new Service.
type Service struct {
	// Name is the service's name in the estate.
	Name string
	// Ports are the union of what the clusters declare, names and numbers unique. The oldest export's ports come first,
	// in its order, so the first port is the one that a caller who names none gets.
	Ports []*modelpb.Port
	// Conflicts are the ports that could not be merged, by cluster: every cluster concerned has its own.
	Conflicts []Conflict
	// Clusters are the clusters that export the service and have a place (a Cluster and a Center object), by name.
	Clusters []ClusterEndpoints
	// Policy is the ServicePolicy that names the service; nil without one.
	Policy *v1alpha1.ServicePolicySpec
	// Units says how the service is bound to units; nil for a plain service.
	Units *Units
}

// Conflict says that clusters disagree about a port so that it cannot be merged (KEP-1645): one name with two numbers
// or protocols, or one number with two names. The oldest export decides; a tie goes to the cluster whose name sorts
// first.
type Conflict struct {
	// Cluster is the cluster concerned, either side of the disagreement.
	Cluster string
	// Declared is what Cluster declares.
	Declared *modelpb.Port
	// Used is what holds, as Decider declares it.
	Used *modelpb.Port
	// Decider is the cluster whose export is the oldest.
	Decider string
}

// ClusterEndpoints are the endpoints of a service in one cluster.
type ClusterEndpoints struct {
	Cluster, Center, Region string
	// Silent says that the cluster's link is lost: what is known of it may be old, and goes behind everything live.
	Silent bool
	// Expired says that the cluster is withdrawn: it has no endpoints. Its ports count, so that callers' names stay what
	// they were.
	Expired bool
	// Slices are the records as decoded but for empty ones, in an order that doesn't depend on the order of arrival.
	Slices []*Slice
}

// Endpoint is where one endpoint serves one port.
type Endpoint struct {
	Address netip.Addr
	Port    uint16
	State   modelpb.EndpointState
	// Weight is at least 1, and comparable within a cluster only.
	Weight uint32
}

// Endpoints are the endpoints that serve the named port. An address may come twice when two sources name it.
func (c *ClusterEndpoints) Endpoints(port string) iter.Seq[Endpoint] {
	return func(yield func(Endpoint) bool) {
		for _, slice := range c.Slices {
			if !slice.all(port, yield) {
				return
			}
		}
	}
}

func (c *ClusterEndpoints) equal(o *ClusterEndpoints) bool {
	return c.Cluster == o.Cluster && c.Center == o.Center && c.Region == o.Region && c.Silent == o.Silent && c.Expired == o.Expired &&
		slices.EqualFunc(c.Slices, o.Slices, (*Slice).equal)
}

func (c Conflict) equal(o Conflict) bool {
	return c.Cluster == o.Cluster && c.Decider == o.Decider && equalPort(c.Declared, o.Declared) &&
		equalPort(c.Used, o.Used)
}

// equal compares contents: a policy's bytes change with its metadata, too, a slice's with its name.
func (s *Service) equal(o *Service) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.Name == o.Name && s.Units.equal(o.Units) && (s.Policy == o.Policy || reflect.DeepEqual(s.Policy, o.Policy)) &&
		slices.EqualFunc(s.Ports, o.Ports, equalPort) &&
		slices.EqualFunc(s.Conflicts, o.Conflicts, Conflict.equal) &&
		slices.EqualFunc(s.Clusters, o.Clusters, func(a, b ClusterEndpoints) bool { return a.equal(&b) })
}

func equalPort(a, b *modelpb.Port) bool {
	return a == b || a.GetName() == b.GetName() && a.GetNumber() == b.GetNumber() && a.GetProtocol() == b.GetProtocol()
}

// String says who disagrees about what, for the operator.
func (c Conflict) String() string {
	if c.Cluster == c.Decider && equalPort(c.Declared, c.Used) {
		return fmt.Sprintf("cluster %s declares port %s, which holds because its export is the oldest, but others disagree",
			c.Cluster, portText(c.Declared))
	}
	return fmt.Sprintf("cluster %s declares port %s, but %s holds, as cluster %s, the oldest export, declares it",
		c.Cluster, portText(c.Declared), portText(c.Used), c.Decider)
}

func portText(p *modelpb.Port) string {
	return fmt.Sprintf("%s/%d/%s", p.GetName(), p.GetNumber(), strings.TrimPrefix(p.GetProtocol().String(), "PROTOCOL_"))
}
