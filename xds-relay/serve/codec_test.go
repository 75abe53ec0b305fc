package serve

import (
	"bytes"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/proto"
	protobuf "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"pentad.dev/pentad/federation/feed"
)

// TestResponseBytesAreThoseOfProtobuf: what is put together from encoded resources is, byte for byte, what protobuf
// makes of the message.
func TestResponseBytesAreThoseOfProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"", "a", "服务", strings.Repeat("n", 300)})
		r := &response{
			kind:    kindOf(rapid.SampledFrom([]string{"", EndpointType, "other"}).Draw(t, "type")),
			version: name.Draw(t, "version"), nonce: name.Draw(t, "nonce"), controlPlane: name.Draw(t, "relay"),
		}
		want := &discovery.DiscoveryResponse{VersionInfo: r.version, TypeUrl: r.kind.url, Nonce: r.nonce}
		if r.controlPlane != "" {
			want.ControlPlane = &corev3.ControlPlane{Identifier: r.controlPlane}
		}
		for range rapid.IntRange(0, 5).Draw(t, "resources") {
			n, missing := name.Draw(t, "name"), rapid.Bool().Draw(t, "missing")
			var body []byte
			if !missing || rapid.Bool().Draw(t, "stand-in") {
				resource := &anypb.Any{TypeUrl: r.kind.url, Value: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")}
				var err error
				if body, err = (protobuf.MarshalOptions{Deterministic: true}).Marshal(resource); err != nil {
					t.Fatal(err)
				}
				if body == nil {
					body = []byte{}
				}
				want.Resources = append(want.Resources, resource)
			}
			if missing {
				r.resources = append(r.resources, newMissing(n, body, feed.Position{}))
				want.ResourceErrors = append(want.ResourceErrors, &discovery.ResourceError{
					ResourceName: &discovery.ResourceName{Name: n},
					ErrorDetail: &rpcstatus.Status{
						Code: int32(codes.NotFound), Message: "no resource \"" + n + "\" of type " + r.kind.url,
					},
				})
			} else {
				r.resources = append(r.resources, newResource(n, body, 1, feed.Position{}))
			}
		}
		got, err := Codec().Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := protobuf.MarshalOptions{Deterministic: true}.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Materialize(), wire) {
			t.Fatalf("sent     %q\nprotobuf %q", got.Materialize(), wire)
		}
	})
}

// TestCodecKeepsItsBuffers: what gRPC does with the buffers of one response, references and frees in any number, leaves
// the resources as they were for the next.
func TestCodecKeepsItsBuffers(t *testing.T) {
	res := newResource("a", bytes.Repeat([]byte("x"), 100_000), 1, feed.Position{})
	r := &response{kind: kindOf(EndpointType), version: "1", nonce: "1", resources: []*resource{res}}
	before := r.buffers().Materialize()
	for range 3 {
		out, err := Codec().Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		out.Ref()
		reader := out.Reader()
		if _, err := reader.Discard(out.Len() / 2); err != nil {
			t.Fatal(err)
		}
		_ = reader.Close()
		out.Free()
		out.Free()
	}
	if !bytes.Equal(before, r.buffers().Materialize()) {
		t.Fatal("the response changed")
	}
}

// TestCodecLeavesTheRestToProtobuf: other services on the same port get gRPC's own codec.
func TestCodecLeavesTheRestToProtobuf(t *testing.T) {
	c := Codec()
	if c.Name() != proto.Name {
		t.Fatalf("name is %q", c.Name())
	}
	in := &discovery.DiscoveryRequest{VersionInfo: "1", ResourceNames: []string{"a"}}
	wire, err := c.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out := &discovery.DiscoveryRequest{}
	if err := c.Unmarshal(wire, out); err != nil || !protobuf.Equal(in, out) {
		t.Fatalf("%v, %v", out, err)
	}
	if _, err := c.Marshal("text"); err == nil {
		t.Fatal("marshalled what is no message")
	}
}
