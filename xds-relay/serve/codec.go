package serve

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// codec passes on what is already encoded and leaves everything else to gRPC's own protobuf codec, so it can serve a
// port that other services share.
type codec struct{ proto encoding.CodecV2 }

// Codec returns the codec that a gRPC server needs for the responses of this package; ServerOptions includes it.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(proto.Name)} }

// Codec is the package's Codec.
func (s *Server) Codec() encoding.CodecV2 { return Codec() }

// Marshal hands over the buffers of a response as they are.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*response); ok {
		return r.buffers(), nil
	}
	return c.proto.Marshal(v)
}

// Unmarshal is gRPC's own: clients send ordinary messages.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error { return c.proto.Unmarshal(data, v) }

// Name is that of the codec it stands in for, so the content type stays what clients expect.
func (c codec) Name() string { return proto.Name }
