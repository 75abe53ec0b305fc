//go:build linux

package estate

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"pentad.dev/pentad/e2e-multicluster/disk"
)

// guarded names the folder in the environment of a guardian.
const guarded = "PENTAD_E2E_GUARDED"

// guardian is a process that outlives this one and then takes away what the kernel does not: mounted file systems, hung
// ones too, which nobody can be killed for who waits for them.
type guardian struct {
	cmd  *exec.Cmd
	life io.Closer
}

func startGuardian(folder string) (*guardian, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), guarded+"="+folder)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no Ctrl-C reaches it
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &guardian{cmd: cmd, life: life}, cmd.Start()
}

func (g *guardian) close() error {
	_ = g.life.Close()
	return g.cmd.Wait()
}

// Guard is what a process does that New started as a guardian; in every other it returns false.
func Guard() (is bool, status int) {
	folder := os.Getenv(guarded)
	if folder == "" {
		return false, 0
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the other end is gone
	deadline := time.Now().Add(30 * time.Second)
	interrupted := false
	for {
		left, err := disk.Mounted(folder)
		if err == nil && len(left) == 0 {
			if interrupted {
				_ = os.RemoveAll(filepath.Join(folder, disksFolder))
				_ = os.Remove(filepath.Join(folder, binaryFile))
				fmt.Fprintf(os.Stderr, "interrupted: the servers' disks are taken away, their logs are kept in %s\n", folder)
			}
			return true, 0
		}
		interrupted = true
		for _, path := range left {
			err = disk.Unmount(path)
		}
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "still mounted in %s: %v (%v)\n", folder, left, err)
			return true, 1
		}
		time.Sleep(100 * time.Millisecond)
	}
}
