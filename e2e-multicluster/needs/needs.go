//go:build linux

// Package needs says what the tests of real processes need of a machine, and has them skipped or fail where that is not
// there, before they make anything.
package needs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Required is the variable that makes a failure of what would be a skip.
const Required = "PENTAD_E2E_REQUIRED"

// room is what a run writes into the temporary folder, with some to spare.
const room = 2 << 30

// Run runs tests where the machine has everything and also is nil, and returns the exit status of their process.
func Run(tests func() int, also ...error) int {
	err := errors.Join(append([]error{Missing()}, also...)...)
	switch {
	case err == nil:
		return tests()
	case os.Getenv(Required) != "":
		fmt.Fprintf(os.Stderr, "FAIL: the tests of real processes cannot run here:\n%v\n", err)
		return 1
	default:
		fmt.Fprintf(os.Stderr, "\n*** SKIPPED: the tests of real processes cannot run here (%s=1 makes that a failure):\n%v\n\n", Required, err)
		return 0
	}
}

// Missing says all that is not there, and what would bring it.
func Missing() error {
	if os.Geteuid() != 0 { // of all else, too, only root could tell
		return errors.New("this is not root: namespaces, mounts and tun devices need it")
	}
	var errs []error
	for _, tool := range []struct{ name, of string }{{"ip", "iproute2"}, {"mkfs.ext4", "e2fsprogs"}, {"mount", "mount"}} {
		if _, err := exec.LookPath(tool.name); err != nil {
			errs = append(errs, fmt.Errorf("%s is missing: install %s", tool.name, tool.of))
		}
	}
	for _, device := range []string{"/dev/net/tun", "/dev/loop-control"} {
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			errs = append(errs, fmt.Errorf("no use of a device of the kernel: %w", err))
			continue
		}
		_ = f.Close()
	}
	if err := namespaces(); err != nil {
		errs = append(errs, fmt.Errorf("no network namespace can be made (a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN): %w", err))
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(os.TempDir(), &fs); err != nil {
		errs = append(errs, fmt.Errorf("temporary folder %s: %w", os.TempDir(), err))
	} else if free := fs.Bavail * uint64(fs.Bsize); free < room {
		errs = append(errs, fmt.Errorf("%s has room for %d MiB, the servers' disks need %d: set TMPDIR to a folder with more",
			os.TempDir(), free>>20, uint64(room)>>20))
	}
	return errors.Join(errs...)
}

// namespaces has a process in the kinds of namespaces that are needed.
func namespaces() error {
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	return cmd.Run()
}
