package process_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/process"
)

type config struct {
	Name   string            `json:"name"`
	Listen map[string]string `json:"listen"`
	// After decodes itself, as durations do.
	After metav1.Duration `json:"after"`
	Each  []struct {
		After metav1.Duration `json:"after"`
	} `json:"each"`
}

func (c *config) Validate() error { return process.Required("name", c.Name) }

func TestAWrongConfigurationIsRefusedWithItsField(t *testing.T) {
	for text, want := range map[string]string{
		"name: a\nnmae: b\n":                `unknown field "nmae"`,
		"name: a\nname: b\n":                `"name" already set`,
		"name: [1]\n":                       "name: must be a string (in quotes, if it looks like something else), and is given as array",
		"name: a\nafter: 5\n":               "after: must be a string (in quotes, if it looks like something else), and is given as number",
		"name: a\neach: 5\n":                "each: must be a list, and is given as number",
		"name: a\nListen: {}\n":             `unknown field "Listen"`,
		"name: a\nlisten: {a: [1]}\n":       "listen",
		"name: a\nafter: soon\n":            `after: time: invalid duration "soon"`,
		"name: a\neach: [{}, {after: x}]\n": `each[1].after: time: invalid duration "x"`,
		"listen: {}\n":                      "name: must not be empty",
		"name: a\n\tb: c\n":                 "line 2",
		"name: a\nlisten: {grpc: 1}}":       "line",
	} {
		err := process.ParseConfig("x.yaml", []byte(text), &config{})
		var usage *process.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "x.yaml: ") {
			t.Errorf("%q: error %v does not name %q", text, err, want)
		}
	}
	if err := process.ParseConfig("x.yaml", []byte("name: a\n"), &config{}); err != nil {
		t.Error(err)
	}
}

func TestADataFolderHasOneOwnerAndOneVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	dir, err := process.OpenDataDir(path, "server hz-a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := process.OpenDataDir(path, "server hz-a"); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a folder in use was opened: %v", err)
	}
	dir.Close()
	if _, err := process.OpenDataDir(path, "server hz-b"); err == nil || !strings.Contains(err.Error(), `"server hz-a"`) {
		t.Errorf("a folder of another server was opened: %v", err)
	}
	if dir, err = process.OpenDataDir(path, "server hz-a"); err != nil {
		t.Fatal(err)
	}
	dir.Close()
	if err := os.WriteFile(filepath.Join(path, "VERSION"), []byte("9 server hz-a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := process.OpenDataDir(path, "server hz-a"); err == nil || !strings.Contains(err.Error(), `version "9"`) {
		t.Errorf("a folder of another version was opened: %v", err)
	}
}

// The test binary is its own child: it serves on the descriptor that it was passed.
func TestListenersArePassedByDescriptor(t *testing.T) {
	if os.Getenv("LISTEN_FDS") != "" {
		listeners, err := process.Listen(map[string]string{"grpc": "127.0.0.1:1", "admin": "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := listeners["grpc"].Accept()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "admin is elsewhere: %v", listeners["admin"].Addr().String() != listeners["grpc"].Addr().String())
		conn.Close()
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestListenersArePassedByDescriptor$")
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=grpc")
	cmd.ExtraFiles = []*os.File{file}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(conn); string(text) != "admin is elsewhere: true" {
		t.Errorf("the child said %q", text)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestABusyPortIsNamed(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	_, err = process.Listen(map[string]string{"grpc": busy.Addr().String()})
	var usage *process.UsageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "listen.grpc: \""+busy.Addr().String()) {
		t.Errorf("busy port: %v", err)
	}
}

func TestAdminPage(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var notReady error = errors.New("waiting for the first snapshot")
	admin := process.Admin{
		Listener: listener, Metrics: process.NewMetrics(), Log: slog.New(slog.DiscardHandler),
		Ready: func() error { return notReady }, Status: func() any { return map[string]int{"feeds": 3} },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- admin.Run(ctx) }()
	get := func(path string) (int, string) {
		response, err := http.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body)
	}
	for path, want := range map[string]string{"/healthz": "200 ok", "/readyz": "503 waiting for", "/status": "200 {\n  \"feeds\": 3", "/metrics": "200 # HELP go_"} {
		if code, body := get(path); !strings.HasPrefix(fmt.Sprintf("%d %s", code, body), want) {
			t.Errorf("%s: %d %.60s, want %s", path, code, body, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
