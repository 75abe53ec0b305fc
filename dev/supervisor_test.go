package dev_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pentad.dev/pentad/dev"
)

func TestEveryProcessRunsWithItsListenersAndStopsInOrder(t *testing.T) {
	notes := t.TempDir()
	t.Setenv("STANDIN_NOTES", notes)
	cfg := smallConfig(t, t.TempDir())
	site := open(t, cfg)
	if err := site.Up(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		"server-hz-a":  4,
		"server-sh-a":  4,
		"relay-hz-a-1": 2,
		"relay-hz-a-2": 2,
		"agent-hz-a":   1,
		"sample-hz-a":  3,
		"load-hz-a":    1,
	}
	if got := len(site.Supervisor().Names()); got != len(want) {
		t.Errorf("%d processes, want %d: %v", got, len(want), site.Supervisor().Names())
	}
	for name, listeners := range want {
		got := status(t, site, name)
		if got.Listeners != listeners || got.Role != strings.SplitN(name, "-", 2)[0] {
			t.Errorf("%s: got %+v, want %d listeners", name, got, listeners)
		}
		if s, _ := site.Supervisor().Status(name); s.PID != got.PID {
			t.Errorf("%s: supervisor says process %d, it is %d", name, s.PID, got.PID)
		}
	}
	begun := time.Now()
	site.Down()
	if took := time.Since(begun); took > patience {
		t.Errorf("stopping took %s", took)
	}
	ended := func(name string) int64 {
		data, err := os.ReadFile(filepath.Join(notes, name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		at, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	order := []string{"load-hz-a", "sample-hz-a", "agent-hz-a", "relay-hz-a-1", "server-hz-a"}
	for i := 1; i < len(order); i++ {
		if ended(order[i-1]) > ended(order[i]) {
			t.Errorf("%s stopped after %s", order[i-1], order[i])
		}
	}
}

func TestAKilledProcessIsGoneItsPortClosedAndTheSameAgainAfterAStart(t *testing.T) {
	seen := &events{}
	cfg := smallConfig(t, t.TempDir())
	cfg.Notify = seen.add
	site := open(t, cfg)
	if err := site.Up(context.Background()); err != nil {
		t.Fatal(err)
	}
	const name = "relay-hz-a-1"
	before := status(t, site, name)
	address := site.Relays("hz-a")[0]
	site.Supervisor().Kill(name)
	if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		_ = conn.Close()
		t.Error("somebody accepts connections to a killed process: a copy of its listener was kept")
	}
	if err := site.Supervisor().Start(name); err != nil {
		t.Fatal(err)
	}
	if err := site.WaitReady(context.Background(), patience, name); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatalf("not at the same port: %v", err)
	}
	_ = conn.Close()
	if after := status(t, site, name); after.PID == before.PID {
		t.Error("it is the same process")
	}
	site.Down()
	if got, want := fmt.Sprint(seen.of(name)), "[running killed running stopped]"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

func TestAnEndThatNobodyAskedForIsTold(t *testing.T) {
	seen := &events{}
	cfg := smallConfig(t, t.TempDir())
	cfg.Notify = seen.add
	site := open(t, cfg)
	if err := site.Up(context.Background()); err != nil {
		t.Fatal(err)
	}
	s, _ := site.Supervisor().Status("agent-hz-a")
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := site.Supervisor().Wait(ctx, "agent-hz-a"); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(seen.of("agent-hz-a")), "[running exited]"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if got := site.Supervisor().NotRunning(); len(got) != 1 || got[0] != "agent-hz-a" {
		t.Errorf("not running: %v", got)
	}
}

func TestAProcessThatEndsBeforeItIsReadyIsNamedWithItsLog(t *testing.T) {
	t.Setenv("STANDIN_agent", "fail")
	site := open(t, smallConfig(t, t.TempDir()))
	err := site.Up(context.Background())
	if err == nil || !strings.Contains(err.Error(), "agent-hz-a ended before it was ready (exit status 1)") ||
		!strings.Contains(err.Error(), "agent-hz-a.log") {
		t.Errorf("got %v", err)
	}
}

func TestAProcessThatDoesNotStopIsKilledInTheEnd(t *testing.T) {
	t.Setenv("STANDIN_relay", "deaf")
	seen := &events{}
	cfg := smallConfig(t, t.TempDir())
	cfg.Notify, cfg.StopGrace = seen.add, 0
	site := open(t, cfg)
	if err := site.Up(context.Background()); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	site.Down()
	if took := time.Since(begun); took > patience {
		t.Errorf("stopping took %s", took)
	}
	if got, want := fmt.Sprint(seen.of("relay-hz-a-1")), "[running killed]"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

func TestASecondStartHasTheSamePortsAndKeepsAnEditedRegistry(t *testing.T) {
	data := t.TempDir()
	first := open(t, smallConfig(t, data))
	api, relays := fmt.Sprint(first.API()), fmt.Sprint(first.Relays("hz-a"))
	first.Close()
	registry := filepath.Join(data, "registry", "hz-a.yaml")
	edited := []byte("services: [] # mine\n")
	if err := os.WriteFile(registry, edited, 0o644); err != nil {
		t.Fatal(err)
	}
	second := open(t, smallConfig(t, data))
	if fmt.Sprint(second.API()) != api || fmt.Sprint(second.Relays("hz-a")) != relays {
		t.Errorf("ports were %s %s, are %v %v", api, relays, second.API(), second.Relays("hz-a"))
	}
	if got, err := os.ReadFile(registry); err != nil || !bytes.Equal(got, edited) {
		t.Errorf("registry is %q (%v)", got, err)
	}
}

func TestADataFolderInUseOfAnotherVersionOrAnotherEstateIsRefused(t *testing.T) {
	data := t.TempDir()
	site := open(t, smallConfig(t, data))
	_, err := dev.Open(smallConfig(t, data))
	usage(t, err, data, "in use")
	site.Close()

	other := smallConfig(t, data)
	other.Estate = ""
	_, err = dev.Open(other)
	usage(t, err, data, "another estate", "estate.yaml")

	if err := os.WriteFile(filepath.Join(data, "VERSION"), []byte("99 dev estate\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = dev.Open(smallConfig(t, data))
	usage(t, err, data, "version", "99")
}

func TestABusyPortIsNamedWithItsProcess(t *testing.T) {
	data := t.TempDir()
	site := open(t, smallConfig(t, data))
	address := site.Relays("hz-a")[1]
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	usage(t, site.Supervisor().Start("relay-hz-a-2"), address, "relay-hz-a-2", "grpc", "in use")
}

func TestPortsAreBelowTheEphemeralRange(t *testing.T) {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Skip("no such range here")
	}
	low, err := strconv.Atoi(strings.Fields(string(data))[0])
	if err != nil || low < 12_000 {
		t.Skipf("the range begins too low here: %s", data)
	}
	site := open(t, smallConfig(t, t.TempDir()))
	for _, address := range append(site.API(), site.Relays("hz-a")...) {
		_, port, _ := net.SplitHostPort(address)
		if n, _ := strconv.Atoi(port); n >= low {
			t.Errorf("port %d may be some client's source port (from %d on)", n, low)
		}
	}
}
