package sample

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/loopback"
)

func TestEveryServiceAnswersWithItsOriginAndIsHealthy(t *testing.T) {
	cfg, _ := startServer(t)
	for _, in := range cfg.Instances {
		conn, err := grpc.NewClient(in.Listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		origin, err := services()[in.Service].call(context.Background(), conn, 7, grpc.WaitForReady(true))
		if err != nil || origin.GetCenter() != "hz-a" || origin.GetRegion() != "hangzhou" || origin.GetInstance() != in.Name {
			t.Errorf("%s: %v, %v", in.Name, origin, err)
		}
		health, err := grpc_health_v1.NewHealthClient(conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%s: %v, %v", in.Name, health, err)
		}
	}
	response, err := http.Get("http://" + cfg.Listen.Admin + "/readyz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("readyz: %v, %v", response, err)
	}
	_ = response.Body.Close()
}

// startLoad calls a server without xDS.
func startLoad(t *testing.T, server ServerConfig, rate float64) (load *Load, records string, stop func()) {
	t.Helper()
	cfg := LoadConfig{
		Name: "load-hz-a", Place: here(), Listen: Listen{Admin: loopback.Address(t)}, Services: ServiceNames(), Rate: rate,
		Records: t.TempDir(), Deadline: &metav1.Duration{Duration: patience},
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	load, err := NewLoad(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range server.Instances {
		load.targets[in.Service] = "passthrough:///" + in.Listen
	}
	return load, cfg.Records, run(t, load)
}

func readAll(t *testing.T, dir string) (ended []record.Request, lines []record.Line) {
	t.Helper()
	f := record.Follow(dir)
	defer f.Close()
	readers, err := f.Readers()
	if err != nil || len(readers) != 1 {
		t.Fatalf("%d files, %v", len(readers), err)
	}
	for _, r := range readers {
		if ended, lines, err = r.Next(); err != nil {
			t.Fatal(err)
		}
		if open := r.InFlight(); len(open) != 0 {
			t.Errorf("in flight after the end: %+v", open)
		}
	}
	return ended, lines
}

func TestTheLoadIsOpenAndEveryRequestIsRecorded(t *testing.T) {
	server, _ := startServer(t)
	const rate, few = 100, 200
	load, records, stop := startLoad(t, server, rate)
	until(t, "few requests", func() bool { return load.requests.Load() >= few })
	stop()
	ended, lines := readAll(t, records)
	var what []string
	var begun, last record.Time
	for _, l := range lines {
		what = append(what, l.What)
		if l.What == record.Ready {
			begun = l.At
		}
	}
	if strings.Join(what, " ") != "open ready close" {
		t.Errorf("lines %v", what)
	}
	for _, r := range ended {
		last = max(last, r.Start)
	}
	// A tick that nobody took at once comes late, and the next one may come right after it.
	services := len(ServiceNames())
	if most := services * (2 + int(last.Sub(begun).Seconds()*rate)); len(ended) < few || len(ended) > most {
		t.Errorf("%d requests within %s, want at most %d", len(ended), last.Sub(begun), most)
	}
	addresses := map[string]string{}
	for _, in := range server.Instances {
		addresses[in.Name] = in.Listen
	}
	for _, r := range ended {
		if !r.OK() || r.Client != "hz-a" || r.Center != "hz-a" || r.Instance != r.Service+"-1" ||
			r.Peer != addresses[r.Instance] ||
			r.End <= r.Start {
			t.Fatalf("%+v", r)
		}
	}
}

func TestErrorsShowWithPeerAndCause(t *testing.T) {
	server, stopServer := startServer(t)
	load, records, stop := startLoad(t, server, 50)
	until(t, "answers", func() bool { return load.requests.Load() >= 20 })
	stopServer()
	until(t, "errors", func() bool { return load.failed.Load() >= 20 })
	until(t, "request that reaches nobody", func() bool { // those that were under way are cut in the middle
		names, err := filepath.Glob(filepath.Join(records, "*"+record.FileExtension))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		data, err := os.ReadFile(names[0])
		return err == nil && strings.Contains(string(data), fmt.Sprintf("%q", record.CauseUnreachable))
	})
	stop()
	ended, _ := readAll(t, records)
	causes := map[string]int{}
	for _, r := range ended {
		if !r.OK() {
			causes[r.Cause]++
		}
	}
	if causes[record.CauseUnreachable] == 0 || causes[record.CauseOther] > 0 {
		t.Errorf("causes %v", causes)
	}
}

func TestCauses(t *testing.T) {
	for _, c := range []struct {
		err  error
		sent bool
		want string
	}{
		{status.Error(codes.Unavailable, "error reading from server: EOF"), true, record.CauseBroken},
		{status.Error(codes.Unavailable, "error reading from server: connection reset by peer"), true, record.CauseBroken},
		{status.Error(codes.Unavailable, "last connection error: connection error: desc = \"transport: refused\""), false,
			record.CauseUnreachable},
		{status.Error(codes.Unavailable, "no children to pick from"), false, record.CauseNoEndpoints},
		{status.Error(codes.Unavailable, "weighted_target: no targets to pick from"), false, record.CauseNoEndpoints},
		{status.Error(codes.Unavailable, "something new"), false, record.CauseOther},
		{status.Error(codes.DeadlineExceeded, "context deadline exceeded"), true, record.CauseDeadline},
		{status.Error(codes.FailedPrecondition, "no"), true, record.CauseAnswer},
		{status.Error(codes.Internal, "no"), false, record.CauseOther},
	} {
		if got := cause(c.err, c.sent); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}

func TestWrongConfigurationsAreRefusedWithEveryField(t *testing.T) {
	server := ServerConfig{
		Instances: []Instance{
			{Name: "a", Service: "shop", Listen: "x"},
			{Name: "a", Service: "orders", Listen: "127.0.0.1:1"},
		},
	}
	load := LoadConfig{Services: []string{"shop"}, Rate: -1}
	for text, err := range map[string]error{
		"name: must not be empty": server.Validate(),
		`instances[0].service: "shop" is no sample service, only assets, cat`: server.Validate(),
		`instances[0].listen: "x" is not host:port`:                           server.Validate(),
		`instances[1].name: "a" is there already`:                             server.Validate(),
		`services[0]: "shop" is no sample service`:                            load.Validate(),
		"rate: -1 is not between 0":                                           load.Validate(),
		"records: must not be empty":                                          load.Validate(),
	} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v does not say %q", err, text)
		}
	}
}

func TestABusyAddressIsAUsageErrorAndNothingIsHeld(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	admin := loopback.Address(t)
	cfg := ServerConfig{
		Name:      "s",
		Place:     here(),
		Listen:    Listen{Admin: admin},
		Instances: []Instance{{Name: "i", Service: "orders", Listen: taken.Addr().String()}},
	}
	_, err = NewServer(cfg, quiet())
	var usage *process.UsageError
	if !errors.As(err, &usage) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
	l, err := net.Listen("tcp", admin)
	if err != nil {
		t.Fatalf("its other listener is still held: %v", err)
	}
	_ = l.Close()
}

func TestASecondRunHasAFileOfItsOwn(t *testing.T) {
	server, _ := startServer(t)
	load, records, stop := startLoad(t, server, 10)
	until(t, "answers", func() bool { return load.requests.Load() > 0 })
	stop()
	names, err := filepath.Glob(filepath.Join(records, "load-hz-a-*"+record.FileExtension))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	if _, err := record.Create(names[0]); !errors.Is(err, os.ErrExist) {
		t.Errorf("an older file would be written on: %v", err)
	}
	if data, err := os.ReadFile(names[0]); err != nil || !strings.HasSuffix(string(data), "}\n") {
		t.Errorf("not ended in order: %v", err)
	}
}
