package sample

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/dev/sample/samplepb"
	"pentad.dev/pentad/unitization/guard"
	"pentad.dev/pentad/unitization/route"
)

// Reading looks at this many of a shard's last writes, and lists this many orders.
const (
	lookBack  = 100
	maxOrders = 20
)

// ordersServer keeps each user's orders in the store of the user's unit.
type ordersServer struct {
	samplepb.UnimplementedOrdersServer
	host
}

func (s ordersServer) PlaceOrder(
	ctx context.Context,
	in *samplepb.PlaceOrderRequest,
) (*samplepb.PlaceOrderResponse, error) {
	if err := s.append(ctx, in.GetWrite(), in.GetUser(), in.GetItem()); err != nil {
		return nil, err
	}
	return &samplepb.PlaceOrderResponse{Origin: s.origin, Order: in.GetWrite()}, nil
}

func (s ordersServer) GetOrder(ctx context.Context, in *samplepb.GetOrderRequest) (*samplepb.GetOrderResponse, error) {
	writes, err := s.find(ctx, &ledgerpb.FindRequest{Id: in.GetOrder()})
	if err != nil {
		return nil, err
	}
	out := &samplepb.GetOrderResponse{Origin: s.origin}
	for _, w := range writes {
		if w.GetId() == in.GetOrder() && w.GetKey() == in.GetUser() {
			out.Found, out.Item = true, string(w.GetPayload())
		}
	}
	return out, nil
}

func (s ordersServer) ListOrders(
	ctx context.Context,
	in *samplepb.ListOrdersRequest,
) (*samplepb.ListOrdersResponse, error) {
	out := &samplepb.ListOrdersResponse{Origin: s.origin}
	shard, ok := stamped(ctx)
	if !ok {
		return out, nil
	}
	writes, err := s.find(ctx, &ledgerpb.FindRequest{Shard: uint32(shard), Limit: lookBack})
	if err != nil {
		return nil, err
	}
	for _, w := range slices.Backward(writes) {
		if w.GetKey() == in.GetUser() && len(out.Orders) < maxOrders {
			out.Orders = append(out.Orders, w.GetId())
		}
	}
	return out, nil
}

// stamped is the shard that the caller's side stamped on a read.
func stamped(ctx context.Context) (int, bool) {
	values := metadata.ValueFromIncomingContext(ctx, guard.HeaderShard)
	if len(values) != 1 {
		return 0, false
	}
	shard, err := route.ParseShard(values[0], route.MaxShards)
	return shard, err == nil
}

func listOrders(ctx context.Context, c conn, n uint64, o ...grpc.CallOption) (*samplepb.Origin, error) {
	user := (users{shards: readShards}).user(n)
	ctx = metadata.AppendToOutgoingContext(ctx, userHeader, user)
	out, err := samplepb.NewOrdersClient(c).ListOrders(ctx, &samplepb.ListOrdersRequest{User: user}, o...)
	return out.GetOrigin(), err
}

func placeOrder(ctx context.Context, c conn, user, write string, n uint64, o ...grpc.CallOption) (
	*samplepb.Origin,
	error,
) {
	in := &samplepb.PlaceOrderRequest{User: user, Item: item(n), Write: write}
	out, err := samplepb.NewOrdersClient(c).PlaceOrder(ctx, in, o...)
	return out.GetOrigin(), err
}
