package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// raw sends and takes messages as they are, so that the same client drives every system and no client library of a
// peer is linked.
type raw struct{}

var _ encoding.CodecV2 = raw{}

// Marshal implements encoding.CodecV2.
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2: what is sent is protobuf.
func (raw) Name() string { return "proto" }

// pool is the connections of all clients to one server.
type pool []*grpc.ClientConn

// connections is how many connections the clients share, at every system.
const connections = 8

func dialPool(address string, options ...grpc.DialOption) (pool, error) {
	p := make(pool, 0, connections)
	for range connections {
		conn, err := grpc.NewClient("passthrough:///"+address, options...)
		if err != nil {
			p.close()
			return nil, err
		}
		p = append(p, conn)
	}
	return p, nil
}

func (p pool) of(client int) *grpc.ClientConn { return p[client%len(p)] }

func (p pool) close() {
	for _, conn := range p {
		_ = conn.Close()
	}
}

// invoke calls a method with an encoded message.
func (p pool) invoke(ctx context.Context, client int, method string, request []byte) ([]byte, error) {
	var response []byte
	err := p.of(client).Invoke(ctx, method, &request, &response, grpc.ForceCodecV2(raw{}))
	return response, err
}

// field appends a field of bytes to a message.
func field(to []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}

// number appends a field that is set to a number.
func number(to []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, field, protowire.VarintType), value)
}

// lookup returns the first field of that number of a message: bytes, or a number.
func lookup(message []byte, number protowire.Number) (value []byte, n uint64, found bool, err error) {
	for len(message) > 0 {
		got, kind, length := protowire.ConsumeTag(message)
		if length < 0 {
			return nil, 0, false, fmt.Errorf("malformed message: %w", protowire.ParseError(length))
		}
		message = message[length:]
		size := protowire.ConsumeFieldValue(got, kind, message)
		if size < 0 {
			return nil, 0, false, fmt.Errorf("malformed message: %w", protowire.ParseError(size))
		}
		if got == number {
			switch kind {
			case protowire.BytesType:
				value, _ = protowire.ConsumeBytes(message)
			case protowire.VarintType:
				n, _ = protowire.ConsumeVarint(message)
			}
			return value, n, true, nil
		}
		message = message[size:]
	}
	return nil, 0, false, nil
}
