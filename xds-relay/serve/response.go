package serve

import (
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// response is a DiscoveryResponse whose resources are already encoded: what is written for one stream is its head and
// tail, some hundred bytes; the resources are the same bytes for everyone.
type response struct {
	kind    kind
	version string
	nonce   string
	// controlPlane is the identifier of the relay; empty: left out.
	controlPlane string
	resources    []*resource
	// since is when the oldest change in it was seen; zero for answers.
	since time.Time
}

// buffers is the response in wire format: the same bytes as a deterministic proto.Marshal of the message. The buffers
// are not counted: they are immutable and live as long as somebody holds them.
func (r *response) buffers() mem.BufferSlice {
	n := 2
	for _, res := range r.resources {
		n += len(res.frame)
	}
	out := make(mem.BufferSlice, 0, n)
	edge := make([]byte, 0, 64+len(r.version)+len(r.nonce)+len(r.kind.url)+len(r.controlPlane))
	edge = appendString(edge, fieldVersion, r.version)
	head := len(edge)
	edge = appendString(edge, fieldTypeURL, r.kind.url)
	edge = appendString(edge, fieldNonce, r.nonce)
	if r.controlPlane != "" {
		edge = appendBytes(edge, fieldControlPlane, appendString(nil, 1, r.controlPlane))
	}
	for _, res := range r.resources {
		if res.missing {
			edge = appendBytes(edge, fieldErrors, resourceError(r.kind, res.name))
		}
	}
	if head > 0 {
		out = append(out, mem.SliceBuffer(edge[:head:head]))
	}
	for _, res := range r.resources {
		out = append(out, res.frame...)
	}
	return append(out, mem.SliceBuffer(edge[head:]))
}

// resourceError is envoy.service.discovery.v3.ResourceError{resource_name{name}, error_detail{NOT_FOUND, message}}
// (gRFC A88).
func resourceError(k kind, name string) []byte {
	detail := protowire.AppendTag(nil, 1, protowire.VarintType)
	detail = protowire.AppendVarint(detail, uint64(codes.NotFound))
	detail = appendString(detail, 2, "no resource "+strconv.Quote(name)+" of type "+k.url)
	out := appendBytes(nil, 1, appendString(nil, 1, name))
	return appendBytes(out, 2, detail)
}

// appendString appends a string field; proto3 leaves out an empty one.
func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// size is what the resources take on the wire.
func (r *response) size() int {
	n := 0
	for _, res := range r.resources {
		n += res.size
	}
	return n
}
