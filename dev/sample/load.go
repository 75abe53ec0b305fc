package sample

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/xds-relay/bootstrap/ipv4"
)

// scheme of the targets. Tests that have no relay name addresses instead.
const scheme = "xds:///"

// Load is a client of every service, in one center.
type Load struct {
	cfg       LoadConfig
	listeners process.Listeners
	log       *slog.Logger
	targets   map[string]string
	counting  atomic.Bool
	requests  atomic.Uint64
	failed    atomic.Uint64
}

// NewLoad takes a valid configuration, and listens (see process.Listen); Run gives the listener back. This process's
// gRPC learns to read the addresses of relays (see bootstrap).
func NewLoad(cfg LoadConfig, log *slog.Logger) (*Load, error) {
	ipv4.Register()
	listeners, err := process.Listen(cfg.addresses())
	if err != nil {
		return nil, err
	}
	l := &Load{cfg: cfg, listeners: listeners, log: log, targets: map[string]string{}}
	for _, name := range cfg.Services {
		l.targets[name] = scheme + name
	}
	return l, nil
}

// Run calls the services until ctx ends.
func (l *Load) Run(ctx context.Context) error {
	if err := os.MkdirAll(l.cfg.Records, 0o755); err != nil {
		return err
	}
	begun := record.Now()
	writer, err := record.Create(
		filepath.Join(l.cfg.Records, fmt.Sprintf("%s-%d%s", l.cfg.Name, begun, record.FileExtension)),
	)
	if err != nil {
		return err
	}
	opened := record.Line{What: record.Opened, At: begun, Client: l.cfg.Center, Region: l.cfg.Region, PID: os.Getpid()}
	if err := writer.Write(opened); err != nil {
		return err
	}
	watchBalancers(writer, l.log)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return writer.Run(ctx) })
	group.Go(func() error {
		return process.Admin{
			Listener: l.listeners[adminListener], Metrics: process.NewMetrics(), Ready: l.ready, Status: l.status, Log: l.log,
		}.Run(ctx)
	})
	group.Go(func() error { return l.call(ctx, writer) })
	return errors.Join(group.Wait(), writer.Close())
}

// call makes the channels, waits until each service was reached once, and begins to count.
func (l *Load) call(ctx context.Context, writer *record.Writer) error {
	conns := map[string]*grpc.ClientConn{}
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for name, target := range l.targets {
		conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return fmt.Errorf("channel to %s: %w", name, err)
		}
		conns[name] = conn
		conn.Connect()
	}
	for name, conn := range conns {
		if !becomesReady(ctx, conn) {
			return nil // ctx ended
		}
		l.log.Info("service reached", "service", name)
	}
	if err := writer.Write(record.Line{What: record.Ready, At: record.Now()}); err != nil {
		return err
	}
	l.counting.Store(true)
	var all sync.WaitGroup
	for name, conn := range conns {
		all.Go(func() { l.openLoop(ctx, writer, name, conn) })
	}
	all.Wait()
	return nil
}

func becomesReady(ctx context.Context, conn *grpc.ClientConn) bool {
	for {
		state := conn.GetState()
		if state == connectivity.Ready {
			return true
		}
		if state == connectivity.Idle {
			conn.Connect()
		}
		if !conn.WaitForStateChange(ctx, state) {
			return false
		}
	}
}

// openLoop sends at the rate, whatever comes back, and returns when the last request has ended.
func (l *Load) openLoop(ctx context.Context, writer *record.Writer, name string, conn *grpc.ClientConn) {
	var requests sync.WaitGroup
	defer requests.Wait()
	ticker := time.NewTicker(time.Duration(float64(time.Second) / l.cfg.rate()))
	defer ticker.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			requests.Go(func() { l.one(writer, name, conn, n) })
		}
	}
}

// one makes a request. It has its own deadline and does not end with the load, so that stopping adds no errors.
func (l *Load) one(writer *record.Writer, name string, conn *grpc.ClientConn, n uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.deadline())
	defer cancel()
	var to peer.Peer
	id := writer.Start(name, record.Now())
	origin, err := services()[name].call(ctx, conn, n, grpc.Peer(&to))
	line := record.Line{End: record.Now(), Center: origin.GetCenter(), Instance: origin.GetInstance()}
	if to.Addr != nil {
		line.Peer = to.Addr.String()
	}
	l.requests.Add(1)
	if err != nil {
		l.failed.Add(1)
		line.Code, line.Cause = status.Code(err).String(), cause(err, to.Addr != nil)
		line.Error = status.Convert(err).Message()
	}
	writer.End(id, line)
}

func (l *Load) ready() error {
	if !l.counting.Load() {
		return errors.New("not every service was reached yet")
	}
	return nil
}

func (l *Load) status() any {
	return map[string]any{"name": l.cfg.Name, "requests": l.requests.Load(), "failed": l.failed.Load()}
}
