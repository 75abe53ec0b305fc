package render

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Class is a capability class of data planes. The list is closed: a class is added together with what renders for it.
type Class int

const (
	// ClassGRPC are proxyless gRPC clients and servers: no overprovisioning, no weights within a locality, and a NACK for
	// a gap in priorities or an address that comes twice. It is the most conservative class, so unknown data planes get
	// it too.
	ClassGRPC Class = iota + 1
)

func (c Class) String() string {
	if c == ClassGRPC {
		return "grpc"
	}
	return fmt.Sprintf("class(%d)", int(c))
}

// View is a class of data planes that get the same resources: they can do the same, and are in the same place.
type View struct {
	Class Class
	// Region and Center are where the data planes are; failover is seen from here.
	Region, Center string

	// broken breaks rules on purpose. Only tests set it.
	broken breakage
}

// Validate names the first field that is wrong.
func (v View) Validate() error {
	switch {
	case v.Class != ClassGRPC:
		return fmt.Errorf("view.class: unsupported value %s: must be %s", v.Class, ClassGRPC)
	case v.Region == "":
		return fmt.Errorf("view.region: required: the region of the data planes")
	case v.Center == "":
		return fmt.Errorf("view.center: required: the center of the data planes")
	}
	return nil
}

// Type URLs of the resources.
const (
	TypeListener = "type.googleapis.com/envoy.config.listener.v3.Listener"
	TypeRoute    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	TypeCluster  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	TypeEndpoint = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
)

// Name names a resource.
type Name struct{ Type, Name string }

// Resource is a rendered xDS resource.
type Resource struct {
	// Type is one of the type URLs of this package.
	Type string
	Name string
	// Body is the resource as an encoded google.protobuf.Any, the same bytes for the same input. It is immutable.
	Body []byte
	// Needs are the resources that this one names. A stream that isn't asked by name sends those first.
	Needs []Name
}

func encode(typeURL, name string, m proto.Message, needs ...Name) (Resource, error) {
	deterministic := proto.MarshalOptions{Deterministic: true}
	value, err := deterministic.Marshal(m)
	if err != nil {
		return Resource{}, fmt.Errorf("encode %s %q: %w", typeURL, name, err)
	}
	body, err := deterministic.Marshal(&anypb.Any{TypeUrl: typeURL, Value: value})
	if err != nil {
		return Resource{}, fmt.Errorf("encode %s %q: %w", typeURL, name, err)
	}
	return Resource{Type: typeURL, Name: name, Body: body, Needs: needs}, nil
}

func pack(m proto.Message) (*anypb.Any, error) {
	a := &anypb.Any{}
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return a, nil
}
