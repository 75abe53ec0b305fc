package serve

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// ServerOptions returns what a gRPC server needs to carry xDS streams: the codec, and keepalive that suits the
// clients. Envoy's ADS cluster pings every 5 s (rule 7) and keeps its connection while it has no stream;
// grpc-go pings every 5 min and waits 20 s. The server finds dead peers by itself, since a client that is gone
// without a word would hold a stream, and what it was sent, for as long as TCP retransmits.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(Codec()),
		// Half of what Envoy sends at: a ping that was held up and the next on time are not an attack.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: 2500 * time.Millisecond, PermitWithoutStream: true,
		}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}
}
