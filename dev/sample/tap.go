package sample

import (
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/roundrobin"

	"pentad.dev/pentad/dev/sample/record"
)

// watchBalancers records each change of what this process's clients pick from: the moment when an endpoint's change has
// reached the last place where it matters. xDS configures round robin by name, at the leaf of its tree of policies, one
// leaf a locality; so the name is taken by a policy that notes what it is given and hands it on. gRPC's table of
// policies is one for the process and must not change while channels are made: call it once, before the first.
func watchBalancers(writer *record.Writer, log *slog.Logger) {
	inner := balancer.Get(roundrobin.Name)
	if already, ok := inner.(*tapBuilder); ok {
		inner = already.Builder
	}
	balancer.Register(&tapBuilder{Builder: inner, writer: writer, log: log})
}

type tapBuilder struct {
	balancer.Builder
	writer *record.Writer
	log    *slog.Logger
	leaves atomic.Uint64
}

func (b *tapBuilder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	return &tap{
		Balancer: b.Builder.Build(cc, opts), builder: b, leaf: b.leaves.Add(1),
		service: strings.TrimPrefix(opts.Target.Endpoint(), "/"),
	}
}

type tap struct {
	balancer.Balancer
	builder *tapBuilder
	leaf    uint64
	service string
}

func (t *tap) UpdateClientConnState(state balancer.ClientConnState) error {
	err := t.Balancer.UpdateClientConnState(state)
	var addresses []string
	for _, endpoint := range state.ResolverState.Endpoints {
		for _, address := range endpoint.Addresses {
			addresses = append(addresses, address.Addr)
		}
	}
	slices.Sort(addresses)
	t.note(addresses)
	return err
}

func (t *tap) Close() {
	t.Balancer.Close()
	t.note(nil)
}

func (t *tap) note(addresses []string) {
	line := record.Line{What: record.Applied, At: record.Now(), ID: t.leaf, Service: t.service, Addresses: addresses}
	if err := t.builder.writer.Write(line); err != nil {
		t.builder.log.Warn("picking set not recorded", "service", t.service, "error", err)
	}
}
