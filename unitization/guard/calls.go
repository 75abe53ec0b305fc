package guard

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// UnaryClientInterceptor stamps each call with its shard, and tries it again when it is refused.
func (c *Client) UnaryClientInterceptor() grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
		opts ...grpc.CallOption) error {
		md, try, err := c.begin(ctx, method)
		if err != nil {
			return err
		}
		if try == nil {
			return invoke(ctx, method, req, reply, cc, opts...)
		}
		for {
			err := invoke(addressed(ctx, md, try.cell), method, req, reply, cc, opts...)
			if err == nil || !try.again(ctx, err) {
				return err
			}
		}
	}
}

// StreamClientInterceptor stamps each call with its shard. A stream that is refused before it is there, as routes do,
// is tried again; once it is there its messages may be on their way, and a refusal is the caller's.
func (c *Client) StreamClientInterceptor() grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer,
		opts ...grpc.CallOption) (grpc.ClientStream, error) {
		md, try, err := c.begin(ctx, method)
		if err != nil {
			return nil, err
		}
		if try == nil {
			return streamer(ctx, desc, cc, method, opts...)
		}
		for {
			s, err := streamer(addressed(ctx, md, try.cell), desc, cc, method, opts...)
			if err == nil {
				return &clientStream{ClientStream: s, try: try}, nil
			}
			if !try.again(ctx, err) {
				return nil, err
			}
		}
	}
}

// begin stamps a call; no attempts when the service is not of units.
func (c *Client) begin(ctx context.Context, method string) (metadata.MD, *attempts, error) {
	table, err := c.table(ctx)
	if err != nil {
		code := codes.DeadlineExceeded
		if errors.Is(err, context.Canceled) {
			code = codes.Canceled
		}
		return nil, nil, status.Error(code, err.Error())
	}
	if table == nil {
		return nil, nil, nil
	}
	md, _ := metadata.FromOutgoingContext(ctx)
	md = md.Copy()
	if md == nil {
		md = metadata.MD{}
	}
	shard, err := stamp(table, md.Get(table.Header()), table.Methods(c.cfg.Service).Read(method))
	if err != nil {
		return nil, nil, status.Error(codes.InvalidArgument, err.Error())
	}
	// A header of the caller's own would be a second value, which guards refuse and proxies read as they like.
	md.Delete(HeaderShard)
	md.Delete(HeaderCell)
	if shard != "" {
		md.Set(HeaderShard, shard)
	}
	return md, c.attempts(method), nil
}

// addressed is ctx with the headers, and with the cell if there is one.
func addressed(ctx context.Context, md metadata.MD, cell string) context.Context {
	if cell != "" {
		md = md.Copy()
		md.Set(HeaderCell, cell)
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// clientStream counts a refusal that comes over the stream.
type clientStream struct {
	grpc.ClientStream
	try  *attempts
	told atomic.Bool
}

func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if r, ok := refusedBefore(err); ok && s.told.CompareAndSwap(false, true) {
		s.try.client.count.refused.Add(1)
		s.try.tell(CallRefused, r)
		s.try.giveUp(r)
	}
	return err
}
