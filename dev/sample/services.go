package sample

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"pentad.dev/pentad/dev/sample/samplepb"
)

// Port is the one port of each sample service, by the name and the number that the registries give it.
const (
	PortName   = "grpc"
	PortNumber = 9000
)

// service is one of the workload's services.
type service struct {
	// reads are the gRPC paths of what changes nothing.
	reads    []string
	register func(grpc.ServiceRegistrar, host)
	// call reads; write is nil of a service that has no writes.
	call  func(context.Context, conn, uint64, ...grpc.CallOption) (*samplepb.Origin, error)
	write func(ctx context.Context, c conn, user, write string, n uint64, o ...grpc.CallOption) (*samplepb.Origin, error)
}

// host is what an instance lends its service.
type host struct {
	origin *samplepb.Origin
	// store is nil of an instance that forgets what is written.
	store Store
	// permission says as what a request was let in; nil where there is no guard.
	permission func(context.Context) permission
}

// permission is what a guard let a write in for.
type permission struct {
	unitization string
	shard       int
	since       uint64
}

// conn is a channel to call through.
type conn = grpc.ClientConnInterface

// services is a function so that nobody can change the table.
func services() map[string]service {
	return map[string]service{
		"catalog": {
			reads:    []string{samplepb.Catalog_GetItem_FullMethodName},
			register: func(r grpc.ServiceRegistrar, h host) { samplepb.RegisterCatalogServer(r, newCatalog(h)) },
			call:     getItem, write: setPrice,
		},
		"assets": {
			reads:    []string{samplepb.Assets_GetBalance_FullMethodName},
			register: func(r grpc.ServiceRegistrar, h host) { samplepb.RegisterAssetsServer(r, assetsServer{host: h}) },
			call:     getBalance,
		},
		"orders": {
			reads:    []string{samplepb.Orders_GetOrder_FullMethodName, samplepb.Orders_ListOrders_FullMethodName},
			register: func(r grpc.ServiceRegistrar, h host) { samplepb.RegisterOrdersServer(r, ordersServer{host: h}) },
			call:     listOrders, write: placeOrder,
		},
	}
}

// ServiceNames are the services that this package has, sorted.
func ServiceNames() []string { return slices.Sorted(maps.Keys(services())) }

// Reads are the gRPC paths of a service's methods that change nothing; what is not among them is a write.
func Reads(name string) []string { return slices.Clone(services()[name].reads) }

// HasWrites says whether a service has methods that change something.
func HasWrites(name string) bool { return services()[name].write != nil }

func checkService(field, name string) error {
	if _, ok := services()[name]; !ok {
		return fmt.Errorf("%s: %q is no sample service, only %s", field, name, strings.Join(ServiceNames(), ", "))
	}
	return nil
}
