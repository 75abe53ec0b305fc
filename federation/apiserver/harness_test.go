package apiserver

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/apiserver/registry"
)

// served is an API server that runs until the test ends.
type served struct {
	address string
	users   *authority
	audit   *buffer
	stop    func()
}

// buffer is a bytes.Buffer for many goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func certificates(a *authority) func() (Certificates, error) {
	cert, key := a.issue("server")
	return func() (Certificates, error) { return Certificates{Cert: cert, Key: key, ClientCA: a.pem}, nil }
}

// serve runs an API server over a backend.
func serve(t testing.TB, a *authority, backend Backend, change ...func(*Config)) *served {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{address: listener.Addr().String(), users: a, audit: &buffer{}}
	cfg := Config{
		Name: "hz-a-1", Listener: listener, Certificates: certificates(a), Backend: backend, Audit: s.audit,
		Version: "0.1.0", Logger: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	server, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("server stopped: %v", err)
			}
		})
	}
	t.Cleanup(s.stop)
	return s
}

// ready waits until the server says that it is: the library's own start-up hooks run beside the first requests.
func (s *served) ready(t testing.TB) {
	t.Helper()
	a := s.do(t, viewers(), "GET", "/readyz", asJSON, "")
	for deadline := time.Now().Add(time.Minute); a.code != http.StatusOK && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
		a = s.do(t, viewers(), "GET", "/readyz", asJSON, "")
	}
	if a.code != http.StatusOK {
		t.Fatalf("ready: %d %s", a.code, a.body)
	}
}

func plant(p registry.Planted) func(*Config) { return func(c *Config) { c.planted = p } }

// client calls the servers as a user, with as much patience as a busy machine may need.
func (s *served) client(groups ...string) *client.Client {
	return clientOf(s.users, []*served{s}, groups...)
}

func clientOf(a *authority, servers []*served, groups ...string) *client.Client {
	a.t.Helper()
	var endpoints []string
	for _, s := range servers {
		endpoints = append(endpoints, s.address)
	}
	c, err := client.New(client.Config{
		Endpoints: endpoints, TLS: a.client("tester", groups...), Timeout: time.Minute, UserAgent: "test",
	})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(c.Close)
	return c
}

func center(name, region string) *v1alpha1.Center {
	return &v1alpha1.Center{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.CenterSpec{Region: region, Role: v1alpha1.CenterFull},
	}
}

func cluster(name, center string) *v1alpha1.Cluster {
	return &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ClusterSpec{Center: center}}
}

func mustCreate(t testing.TB, s *served, name string) *v1alpha1.Center {
	t.Helper()
	made, err := s.client(AdminGroup).Centers().Create(t.Context(), center(name, "hangzhou"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}
