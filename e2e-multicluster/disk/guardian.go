//go:build linux

package disk

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// guarded has what a guardian is told in its environment.
const guarded = "PENTAD_E2E_GUARDED"

// Guardian is a process that outlives this one and then takes away what the kernel does not: mounted file systems, hung
// ones too, which nobody can be killed for who waits for them.
type Guardian struct {
	cmd  *exec.Cmd
	life io.WriteCloser
}

type guard struct {
	// Folder is below which nothing stays mounted, as the kernel names it.
	Folder string
	// Remove is what is removed after it.
	Remove []string
}

// Guarded starts a guardian of the file systems below a folder, which is there. When this process ends without Close, they
// are unmounted and these files and folders in it removed.
func Guarded(folder string, remove ...string) (*Guardian, error) {
	folder, err := filepath.EvalSymlinks(folder)
	if err == nil {
		folder, err = filepath.Abs(folder)
	}
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(guard{Folder: folder, Remove: remove})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), guarded+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no Ctrl-C reaches it
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &Guardian{cmd: cmd, life: life}, cmd.Start()
}

// Close ends the guardian. What is still mounted it unmounts, and that is an error.
func (g *Guardian) Close() error {
	_, _ = g.life.Write([]byte{1}) // so it knows an end from a death; without a reader, Wait says why
	_ = g.life.Close()
	return g.cmd.Wait()
}

// Guard is what a process does that Guarded started; in every other it returns false. A test's main calls it first.
func Guard() (is bool, status int) {
	text := os.Getenv(guarded)
	if text == "" {
		return false, 0
	}
	var g guard
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		fmt.Fprintf(os.Stderr, "guardian: %s: %v\n", guarded, err)
		return true, 1
	}
	said, _ := io.Copy(io.Discard, os.Stdin) // until the other end is gone
	if err := g.unmount(said == 0); err != nil {
		fmt.Fprintln(os.Stderr, "guardian:", err)
		return true, 1
	}
	if said > 0 {
		return true, 0
	}
	for _, name := range g.Remove {
		_ = os.RemoveAll(filepath.Join(g.Folder, name))
	}
	if os.Remove(g.Folder) != nil { // there is more in it
		fmt.Fprintf(os.Stderr, "interrupted: the disks are taken away, logs are kept in %s\n", g.Folder)
	}
	return true, 0
}

// unmount returns when nothing is mounted. Of a process that died, a command may be about to mount one more.
func (g guard) unmount(died bool) error {
	const (
		patience = 30 * time.Second
		every    = 100 * time.Millisecond
		quiet    = 5 // looks without a find
	)
	found := false
	var err error
	for clean, deadline := 0, time.Now().Add(patience); ; {
		left, looked := Mounted(g.Folder)
		switch {
		case looked != nil:
			err = looked
		case len(left) == 0 && !died:
			if found {
				return fmt.Errorf("disks were left mounted in %s", g.Folder)
			}
			return nil
		case len(left) == 0:
			if clean++; clean == quiet {
				return nil
			}
		default:
			clean, found = 0, true
			for _, path := range left {
				err = Unmount(path)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still mounted in %s: %v (%v)", g.Folder, left, err)
		}
		time.Sleep(every)
	}
}
