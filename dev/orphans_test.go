package dev_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pentad.dev/pentad/dev"
)

// superviseUntilKilled is another process of this test: it starts a Site and waits for its end.
func superviseUntilKilled(data string) int {
	binary, _ := os.Executable()
	cfg := dev.Config{
		Estate:      filepath.Join(data, "estate.yaml"),
		Data:        filepath.Join(data, "data"),
		Binary:      binary,
		Out:         io.Discard,
		Log:         quiet(),
		SkipDeclare: true,
	}
	site, err := dev.Open(cfg)
	if err == nil {
		err = site.Up(context.Background())
	}
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	for _, name := range site.Supervisor().Names() {
		s, _ := site.Supervisor().Status(name)
		fmt.Println(s.PID)
	}
	fmt.Println("up")
	select {}
}

func TestChildrenDieWithAKilledSupervisorAndItsFolderCanBeUsedAtOnce(t *testing.T) {
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "estate.yaml"), []byte(smallEstate), 0o644); err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "supervise", data)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for {
		var line string
		if _, err := fmt.Fscanln(out, &line); err != nil {
			t.Fatal(err)
		}
		if line == "up" {
			break
		}
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(line)
		}
		pids = append(pids, pid)
	}
	time.Sleep(200 * time.Millisecond) // threads of the supervisor may end meanwhile; its children must not
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); err != nil {
			t.Errorf("process %d ended before its supervisor", pid)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	cfg := smallConfig(t, filepath.Join(data, "data"))
	cfg.Estate = filepath.Join(data, "estate.yaml")
	site := open(t, cfg)
	if err := site.Up(context.Background()); err != nil {
		t.Fatalf("second start: %v", err)
	}
	deadline := time.Now().Add(patience)
	for _, pid := range pids {
		for running(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d of the killed supervisor still runs", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// running is false for a zombie, which nobody here collects.
func running(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
