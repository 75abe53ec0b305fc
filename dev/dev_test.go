package dev_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/dev"
)

// output gathers what is printed.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) waitFor(t *testing.T, text string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(o.String(), text) {
		if time.Now().After(deadline) {
			t.Fatalf("%q was not printed:\n%s", text, o)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestRunSaysWhereEverythingIsTellsOfDeathsAndStops(t *testing.T) {
	out := &output{}
	cfg := smallConfig(t, t.TempDir())
	cfg.Out = out
	d, err := dev.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	out.waitFor(t, "Ctrl-C stops everything")
	for _, want := range []string{
		cfg.Data + "/kubeconfig", cfg.Data + "/logs", "hangzhou", "sh-a", "https://127.0.0.1:", "kubectl",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said", want)
		}
	}
	_, rest, _ := strings.Cut(out.String(), "kill -9 ")
	pid := 0
	for _, r := range strings.Fields(rest)[0] {
		pid = 10*pid + int(r-'0')
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("the process that it names: %v", err)
	}
	out.waitFor(t, "server-hz-a ended (signal: killed)")
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("did not stop")
	}
}

func TestTheKubeconfigHasAContextForEachServer(t *testing.T) {
	site := open(t, smallConfig(t, t.TempDir()))
	data, err := os.ReadFile(site.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		CurrentContext string `json:"current-context"`
		Contexts       []struct{ Name string }
		Clusters       []struct {
			Cluster struct{ Server string }
		}
		Users []struct {
			User map[string]string
		}
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "hz-a" || len(config.Contexts) != 2 || config.Contexts[1].Name != "sh-a" {
		t.Errorf("contexts %+v, current %s", config.Contexts, config.CurrentContext)
	}
	for i, address := range site.API() {
		if got := config.Clusters[i].Cluster.Server; got != "https://"+address {
			t.Errorf("server %s, want %s", got, address)
		}
	}
	for _, path := range config.Users[0].User {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
