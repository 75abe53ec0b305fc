//go:build linux && e2e

package disk

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// victim names, in the environment of a process, the folder in which it hangs a disk and waits for its death.
const victim = "PENTAD_E2E_VICTIM"

func hang(folder string) error {
	if _, err := Guarded(folder, "d", "d.img"); err != nil {
		return err
	}
	d, err := New(folder, "d", size)
	if err != nil {
		return err
	}
	if err := d.Freeze(); err != nil {
		return err
	}
	fmt.Println("hung")
	time.Sleep(time.Hour)
	return nil
}

// Nothing is left of a process that was killed, not even a hung disk.
func TestAGuardianOutlivesAKilledProcess(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "with a blank") // as the kernel writes it: \040
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), victim+"="+folder)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	mounts, looked := Mounted(folder)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil || looked != nil || len(mounts) != 1 {
		t.Fatalf("the victim said %q (%v); mounted: %v (%v), want one", said, err, mounts, looked)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		mounts, err := Mounted(folder)
		_, gone := os.Stat(folder)
		if err == nil && len(mounts) == 0 && os.IsNotExist(gone) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after its death are left: %v (%v), the folder: %v", mounts, err, gone)
		}
	}
}
