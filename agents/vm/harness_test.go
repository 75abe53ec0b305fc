package vm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"pentad.dev/pentad/process/loopback"
)

// start runs a source over the file until the test ends, or until stop.
func start(t testing.TB, path string, broken breakage) (r *recorder, stop func()) {
	t.Helper()
	return startWith(t, path, poll, func(s *Source) { s.broken = broken })
}

// startWith has a source look at its file that often, whatever events say.
func startWith(t testing.TB, path string, every time.Duration, change func(*Source)) (r *recorder, stop func()) {
	t.Helper()
	s, err := New(Config{Path: path, Since: path + ".since", Poll: every, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	change(s)
	r = newRecorder()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, r) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(soon):
			t.Error("run does not end")
		}
	})
	t.Cleanup(stop)
	return r, stop
}

// fleet is servers of one kind by name, and the file that says them.
type fleet struct {
	t       testing.TB
	path    string
	check   string
	servers map[string]*server
	// lines are the instances in the file, by name.
	lines map[string]string
}

func newFleet(t testing.TB, check string) *fleet {
	return &fleet{
		t: t, path: filepath.Join(t.TempDir(), "registry.yaml"), check: check,
		servers: map[string]*server{}, lines: map[string]string{},
	}
}

// server is a listener that can be killed and brought back on its port.
type server struct {
	address string
	kill    func()
	health  *health.Server // of a gRPC server
}

// up starts an instance's TCP server; a name that was there before gets its address back.
func (f *fleet) up(name string) *server {
	f.t.Helper()
	var address string
	if old := f.servers[name]; old != nil {
		address = old.address
	} else {
		address = loopback.Address(f.t)
	}
	listener := loopback.Listen(f.t, address)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	return f.add(name, &server{address: address, kill: func() { listener.Close() }})
}

// upGRPC starts an instance's gRPC server with the health service.
func (f *fleet) upGRPC(name string) *server {
	f.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	grpcServer, healthServer := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(grpcServer, healthServer)
	go grpcServer.Serve(listener)
	return f.add(name, &server{address: listener.Addr().String(), kill: grpcServer.Stop, health: healthServer})
}

func (f *fleet) add(name string, s *server) *server {
	s.kill = sync.OnceFunc(s.kill)
	f.t.Cleanup(s.kill)
	f.servers[name] = s
	return s
}

// says puts the instance into the file's next content; more is as in "state: Draining".
func (f *fleet) says(name string, more ...string) {
	host, port, _ := net.SplitHostPort(f.servers[name].address)
	f.lines[name] = fmt.Sprintf("  - {%s}\n", strings.Join(append([]string{
		"name: " + name, "address: " + host, "ports: {p: " + port + "}"}, more...), ", "))
}

func (f *fleet) text() string {
	text := "services:\n- name: orders\n  ports: [{name: p, port: 9000}]\n"
	if f.check != "" {
		text += "  check: {" + f.check + "}\n"
	}
	text += "  instances:"
	if len(f.lines) == 0 {
		return text + " []\n"
	}
	text += "\n"
	for _, name := range slices.Sorted(maps.Keys(f.lines)) {
		text += f.lines[name]
	}
	return text
}

// replace writes the file beside and renames it, as careful tools do.
func (f *fleet) replace() { replaceFile(f.t, f.path, f.text()) }

func replaceFile(t testing.TB, path, text string) {
	t.Helper()
	beside := filepath.Join(filepath.Dir(path), ".new")
	if err := errors.Join(os.WriteFile(beside, []byte(text), 0o600), os.Rename(beside, path)); err != nil {
		t.Fatal(err)
	}
}

// is is how the recorder shows the instance.
func (f *fleet) is(name, state string) string {
	return "orders " + f.servers[name].address + " " + state
}

func check(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

var quiet = slog.New(slog.DiscardHandler)

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }
