package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// probe asks one instance. It belongs to one goroutine.
type probe interface {
	// ask returns nil when the instance is healthy; ctx bounds it.
	ask(ctx context.Context) error
	// lost receives when a connection that was good broke: a reason to ask at once.
	lost() <-chan struct{}
	close()
}

// newProbe asks the instance at target, an address with its port.
func newProbe(c Check, target string) probe {
	switch c.Type {
	case CheckHTTP:
		return newHTTPProbe(target, c.Path)
	case CheckGRPC:
		return &grpcProbe{target: target, service: c.Service, broken: make(chan struct{}, 1)}
	default:
		return tcpProbe{target}
	}
}

// hard says whether an error is a fact rather than a doubt: nobody listens there.
func hard(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}

// tcpProbe connects.
type tcpProbe struct{ target string }

func (p tcpProbe) ask(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (tcpProbe) lost() <-chan struct{} { return nil }
func (tcpProbe) close()                {}

// httpProbe gets a path over a new connection each time: what is asked is also whether new callers are let in.
type httpProbe struct {
	client *http.Client
	url    string
}

func newHTTPProbe(target, path string) httpProbe {
	return httpProbe{url: "http://" + target + path, client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (p httpProbe) ask(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "pentad-check")
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode < 200 || response.StatusCode > 399 {
		return fmt.Errorf("GET %s: status %d, want 200 to 399", p.url, response.StatusCode)
	}
	return nil
}

func (httpProbe) lost() <-chan struct{} { return nil }
func (httpProbe) close()                {}

// grpcProbe calls grpc.health.v1. It keeps its connection while that is good: a killed process is noticed by the
// connection's end, not at the next interval. It dials by itself and hands gRPC that one connection, so that gRPC has
// nothing to retry, to back off from or to write about in its own log while an instance is down.
type grpcProbe struct {
	target, service string
	conn            *grpc.ClientConn
	tcp             net.Conn
	unwatch         context.CancelFunc // nil: nobody watches the connection
	broken          chan struct{}
}

func (p *grpcProbe) ask(ctx context.Context) error {
	if p.conn != nil && p.conn.GetState() != connectivity.Ready {
		p.close()
	}
	if p.conn == nil {
		if err := p.open(ctx); err != nil {
			return err
		}
	}
	answer, err := healthpb.NewHealthClient(p.conn).Check(ctx, &healthpb.HealthCheckRequest{Service: p.service})
	switch status.Code(err) {
	case codes.OK, codes.Unimplemented, codes.NotFound:
		p.watch()
	default:
		p.close()
		return fmt.Errorf("health at %s: %w", p.target, err)
	}
	switch status.Code(err) {
	case codes.Unimplemented:
		return fmt.Errorf("%s has no grpc.health.v1.Health: register it there, or check by tcp", p.target)
	case codes.NotFound:
		return fmt.Errorf("health of %s at %s: not known there", p.service, p.target)
	}
	if answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("health at %s: %s, want SERVING", p.target, answer.GetStatus())
	}
	return nil
}

func (p *grpcProbe) open(ctx context.Context) error {
	tcp, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+p.target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithIdleTimeout(0), grpc.WithUserAgent("pentad-check"),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return tcp, nil }))
	if err != nil {
		_ = tcp.Close()
		return err
	}
	p.conn, p.tcp = conn, tcp
	return nil
}

// watch begins to watch a connection that gave an answer, if nobody does yet: however late the watch begins, it sees that
// the connection is not good any more.
func (p *grpcProbe) watch() {
	if p.unwatch != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p.unwatch = func() {
		cancel()
		<-done // what follows is no loss
	}
	conn := p.conn
	go func() {
		defer close(done)
		watchConn(ctx, conn, p.broken)
	}()
}

// watchConn signals when a connection that was good leaves Ready, until ctx ends. gRPC gives out the connection before it
// notes that it is Ready.
func watchConn(ctx context.Context, conn *grpc.ClientConn, broken chan<- struct{}) {
	if !conn.WaitForStateChange(ctx, connectivity.Connecting) || !conn.WaitForStateChange(ctx, connectivity.Ready) {
		return
	}
	select {
	case broken <- struct{}{}:
	default:
	}
}

func (p *grpcProbe) lost() <-chan struct{} { return p.broken }

func (p *grpcProbe) close() {
	if p.conn == nil {
		return
	}
	if p.unwatch != nil {
		p.unwatch()
		p.unwatch = nil
	}
	_ = p.tcp.Close() // also where gRPC never asked for it
	_ = p.conn.Close()
	p.conn = nil
}
