package process

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is a registry that rooms add their numbers to.
type Metrics = *prometheus.Registry

// NewMetrics is a registry with the process's and the runtime's own numbers in it.
func NewMetrics() Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// Admin is the admin page of a process, plain HTTP for loopback or a private network: /healthz says that the process runs,
// /readyz that it serves (503 and the reason until then), /metrics is Prometheus', /status what the process knows, as JSON.
type Admin struct {
	Listener net.Listener
	Metrics  prometheus.Gatherer
	// Ready is nil, or says why the process does not serve yet.
	Ready func() error
	// Status is encoded as JSON.
	Status func() any
	Log    *slog.Logger
}

// Run serves until ctx ends.
func (a Admin) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := a.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(a.Status()); err != nil {
			a.Log.Warn("status not written", "error", err)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(a.Listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
