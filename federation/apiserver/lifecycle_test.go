package apiserver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
)

// TestServersComeAndGo starts and stops servers, two at a time, each with a request, a watch and a client that stays.
func TestServersComeAndGo(t *testing.T) {
	a, e := newAuthority(t), newEstate(t, 2)
	before := 0
	for round := range 5 {
		servers := []*served{serve(t, a, e.members[0]), serve(t, a, e.members[1])}
		for _, s := range servers {
			c := s.client(AdminGroup)
			if _, err := c.Centers().List(t.Context(), metav1.ListOptions{}); err != nil {
				t.Fatal(err)
			}
			w, err := c.Centers().Watch(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			go func() { // the stop ends the watch
				for range w.ResultChan() {
				}
			}()
			defer w.Stop()
		}
		start := time.Now()
		var stopping sync.WaitGroup
		for _, s := range servers {
			stopping.Go(s.stop)
		}
		stopping.Wait()
		if took := time.Since(start); took > 30*time.Second { // a watch would go on for half an hour, a request for a minute
			t.Errorf("round %d: the stop took %s", round, took)
		}
		if round == 0 { // what the library makes once for the process is there now
			time.Sleep(3 * time.Second)
			before = runtime.NumGoroutine()
			continue
		}
		if after := settled(before + 5); after > before+5 {
			buf := make([]byte, 1<<20)
			t.Fatalf("round %d: %d goroutines, %d after the first: some were left behind\n%s", round, after, before,
				buf[:runtime.Stack(buf, true)])
		}
	}
}

// settled is the number of goroutines once it is at most want, or when it has not become so for long.
func settled(want int) int {
	n := runtime.NumGoroutine()
	for deadline := time.Now().Add(time.Minute); n > want && time.Now().Before(deadline); n = runtime.NumGoroutine() {
		time.Sleep(50 * time.Millisecond)
	}
	return n
}

func TestConfigWithHolesIsRefused(t *testing.T) {
	_, err := New(Config{Name: "hz-a-1"})
	for _, field := range []string{"listener", "certificates", "backend", "version", "logger"} {
		if err == nil || !strings.Contains(err.Error(), field+": must be set") {
			t.Errorf("%v: want %s named", err, field)
		}
	}
	a := newAuthority(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cfg := Config{
		Name: "x", Listener: listener, Backend: newEstate(t, 1).members[0], Version: "0.1.0",
		Logger:       slog.New(slog.DiscardHandler),
		Certificates: func() (Certificates, error) { return Certificates{ClientCA: a.pem}, nil },
	}
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "serving certificate and key") {
		t.Errorf("no certificate: %v", err)
	}
	cfg.Certificates = CertificateFiles("no such file", "", "")
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
}

func TestReadinessIsTheServers(t *testing.T) {
	var mu sync.Mutex
	var notReady error
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0], func(c *Config) {
		c.Ready = func() error { mu.Lock(); defer mu.Unlock(); return notReady }
	})
	s.ready(t)
	mu.Lock()
	notReady = http.ErrServerClosed
	mu.Unlock()
	if a := s.do(t, viewers(), "GET", "/readyz", asJSON, ""); a.code == http.StatusOK || !strings.Contains(a.body, "[-]federation failed") {
		t.Errorf("not ready: %d %s", a.code, a.body)
	}
	if a := s.do(t, viewers(), "GET", "/livez", asJSON, ""); a.code != http.StatusOK {
		t.Errorf("live: %d %s", a.code, a.body)
	}
}

func TestRenewedCertificatesAreTaken(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	give, asked := certificates(first), 0
	server, err := New(Config{
		Name: "x", Listener: listener, Backend: newEstate(t, 1).members[0], Version: "0.1.0",
		Logger:       slog.New(slog.DiscardHandler),
		Certificates: func() (Certificates, error) { mu.Lock(); defer mu.Unlock(); asked++; return give() },
	})
	if err != nil {
		t.Fatal(err)
	}
	server.credentials.every = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	list := func(config *tls.Config) error { // as long as it takes until the server is one that the caller trusts
		c, err := client.New(client.Config{Endpoints: []string{listener.Addr().String()}, TLS: config, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Centers().List(t.Context(), metav1.ListOptions{})
		return err
	}
	old, renewed := first.client("tester", AdminGroup), second.client("tester", AdminGroup)
	if err := list(old); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	give = func() (Certificates, error) { return Certificates{}, nil } // nonsense keeps the good ones
	until := asked + 2
	mu.Unlock()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		mu.Lock()
		taken := asked >= until // when it asks again it has looked at what it was given before
		mu.Unlock()
		if taken {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("certificates are not asked for")
		}
	}
	if err := list(old); err != nil {
		t.Errorf("after nonsense: %v", err)
	}
	mu.Lock()
	give = certificates(second)
	mu.Unlock()
	if err := list(renewed); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
	old.RootCAs = renewed.RootCAs
	if err := list(old); !apierrors.IsUnauthorized(err) {
		t.Errorf("a user of the authority that is gone: %v, want unauthorized", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
