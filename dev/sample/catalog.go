package sample

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"

	"google.golang.org/grpc"

	"pentad.dev/pentad/dev/sample/samplepb"
)

// catalogServer knows the list price of everything, and the prices that were set here. What was set elsewhere a copy
// in a real city would get from the store's replication, which nothing that is shown here hangs on.
type catalogServer struct {
	samplepb.UnimplementedCatalogServer
	host
	mu     sync.Mutex
	prices map[string]int64
}

func newCatalog(h host) *catalogServer { return &catalogServer{host: h, prices: map[string]int64{}} }

func (s *catalogServer) GetItem(_ context.Context, in *samplepb.GetItemRequest) (*samplepb.GetItemResponse, error) {
	s.mu.Lock()
	price, set := s.prices[in.GetItem()]
	s.mu.Unlock()
	if !set {
		price = number(in.GetItem())
	}
	return &samplepb.GetItemResponse{Origin: s.origin, Item: in.GetItem(), Price: price}, nil
}

func (s *catalogServer) SetPrice(
	ctx context.Context,
	in *samplepb.SetPriceRequest,
) (*samplepb.SetPriceResponse, error) {
	if err := s.append(ctx, in.GetWrite(), in.GetItem(), strconv.FormatInt(in.GetPrice(), 10)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prices[in.GetItem()] = in.GetPrice()
	return &samplepb.SetPriceResponse{Origin: s.origin}, nil
}

func getItem(ctx context.Context, c conn, n uint64, o ...grpc.CallOption) (*samplepb.Origin, error) {
	out, err := samplepb.NewCatalogClient(c).GetItem(ctx, &samplepb.GetItemRequest{Item: item(n)}, o...)
	return out.GetOrigin(), err
}

func setPrice(ctx context.Context, c conn, _, write string, n uint64, o ...grpc.CallOption) (*samplepb.Origin, error) {
	in := &samplepb.SetPriceRequest{Item: item(n), Price: int64(n % 10_000), Write: write}
	out, err := samplepb.NewCatalogClient(c).SetPrice(ctx, in, o...)
	return out.GetOrigin(), err
}

func item(n uint64) string { return fmt.Sprintf("item-%d", n%100) }

// number makes an amount out of a name, always the same.
func number(name string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return int64(h.Sum32() % 100_000)
}
