package cut

import (
	"context"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func TestAGRPCCallFailsByItsDeadlineAndTheChannelComesBack(t *testing.T) {
	e := newEstate(t)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(e.listeners[shA]) }()
	defer server.Stop()
	conn, err := grpc.NewClient("passthrough:///"+e.address(shA),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(e.cut.Dialer()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		return err
	}
	goesOn(t, "call", later(func() error { return call(soon) }))
	e.set(hangzhouLost)
	if err := call(short); err == nil {
		t.Fatal("a call passed the cut")
	}
	e.set()
	goesOn(t, "call", later(func() error { return call(soon) }))
}

func TestAnHTTPTransportTakesIt(t *testing.T) {
	e := newEstate(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})}
	go func() { _ = server.Serve(e.listeners[szA]) }()
	defer server.Close()
	transport := &http.Transport{DialContext: e.cut.DialContext}
	get := func(within time.Duration) error {
		c := &http.Client{Transport: transport, Timeout: within}
		response, err := c.Get("http://" + e.address(szA))
		if err == nil {
			_ = response.Body.Close()
		}
		return err
	}
	if err := get(soon); err != nil {
		t.Fatal(err)
	}
	e.set(hangzhouLost)
	if err := get(short); err == nil {
		t.Fatal("a request passed the cut")
	}
	e.set()
	if err := get(soon); err != nil {
		t.Fatal(err)
	}
}
