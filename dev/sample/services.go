package sample

import (
	"context"
	"fmt"
	"hash/fnv"
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
	register func(grpc.ServiceRegistrar, *samplepb.Origin)
	call     func(context.Context, conn, uint64, ...grpc.CallOption) (*samplepb.Origin, error)
}

// conn is a channel to call through.
type conn = grpc.ClientConnInterface

// services is a function so that nobody can change the table.
func services() map[string]service {
	return map[string]service{
		"catalog": {
			register: func(r grpc.ServiceRegistrar, o *samplepb.Origin) {
				samplepb.RegisterCatalogServer(r, catalogServer{origin: o})
			},
			call: func(ctx context.Context, c conn, n uint64, o ...grpc.CallOption) (*samplepb.Origin, error) {
				out, err := samplepb.NewCatalogClient(c).
					GetItem(ctx, &samplepb.GetItemRequest{Item: fmt.Sprintf("item-%d", n%100)}, o...)
				return out.GetOrigin(), err
			},
		},
		"assets": {
			register: func(r grpc.ServiceRegistrar, o *samplepb.Origin) {
				samplepb.RegisterAssetsServer(r, assetsServer{origin: o})
			},
			call: func(ctx context.Context, c conn, n uint64, o ...grpc.CallOption) (*samplepb.Origin, error) {
				out, err := samplepb.NewAssetsClient(c).
					GetBalance(ctx, &samplepb.GetBalanceRequest{User: fmt.Sprintf("user-%d", n%1000)}, o...)
				return out.GetOrigin(), err
			},
		},
		"orders": {
			register: func(r grpc.ServiceRegistrar, o *samplepb.Origin) {
				samplepb.RegisterOrdersServer(r, ordersServer{origin: o})
			},
			call: func(ctx context.Context, c conn, n uint64, o ...grpc.CallOption) (*samplepb.Origin, error) {
				in := &samplepb.PlaceOrderRequest{User: fmt.Sprintf("user-%d", n%1000), Item: fmt.Sprintf("item-%d", n%100)}
				out, err := samplepb.NewOrdersClient(c).PlaceOrder(ctx, in, o...)
				return out.GetOrigin(), err
			},
		},
	}
}

// ServiceNames are the services that this package has, sorted.
func ServiceNames() []string { return slices.Sorted(maps.Keys(services())) }

func checkService(field, name string) error {
	if _, ok := services()[name]; !ok {
		return fmt.Errorf("%s: %q is no sample service, only %s", field, name, strings.Join(ServiceNames(), ", "))
	}
	return nil
}

type catalogServer struct {
	samplepb.UnimplementedCatalogServer
	origin *samplepb.Origin
}

func (s catalogServer) GetItem(_ context.Context, in *samplepb.GetItemRequest) (*samplepb.GetItemResponse, error) {
	return &samplepb.GetItemResponse{Origin: s.origin, Item: in.GetItem(), Price: number(in.GetItem())}, nil
}

type assetsServer struct {
	samplepb.UnimplementedAssetsServer
	origin *samplepb.Origin
}

func (s assetsServer) GetBalance(
	_ context.Context,
	in *samplepb.GetBalanceRequest,
) (*samplepb.GetBalanceResponse, error) {
	return &samplepb.GetBalanceResponse{Origin: s.origin, Balance: number(in.GetUser())}, nil
}

type ordersServer struct {
	samplepb.UnimplementedOrdersServer
	origin *samplepb.Origin
}

func (s ordersServer) PlaceOrder(
	_ context.Context,
	in *samplepb.PlaceOrderRequest,
) (*samplepb.PlaceOrderResponse, error) {
	return &samplepb.PlaceOrderResponse{Origin: s.origin, Order: fmt.Sprintf("%s/%s", in.GetUser(), in.GetItem())}, nil
}

// number makes an amount out of a name, always the same.
func number(name string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return int64(h.Sum32() % 100_000)
}
