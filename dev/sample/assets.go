package sample

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"pentad.dev/pentad/dev/sample/samplepb"
)

// assetsServer belongs to no unit.
type assetsServer struct {
	samplepb.UnimplementedAssetsServer
	host
}

func (s assetsServer) GetBalance(
	_ context.Context,
	in *samplepb.GetBalanceRequest,
) (*samplepb.GetBalanceResponse, error) {
	return &samplepb.GetBalanceResponse{Origin: s.origin, Balance: number(in.GetUser())}, nil
}

func getBalance(ctx context.Context, c conn, n uint64, o ...grpc.CallOption) (*samplepb.Origin, error) {
	in := &samplepb.GetBalanceRequest{User: fmt.Sprintf("user-%d", n%1000)}
	out, err := samplepb.NewAssetsClient(c).GetBalance(ctx, in, o...)
	return out.GetOrigin(), err
}
