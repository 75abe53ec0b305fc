//go:build linux

// Package disk makes file systems that can be filled up and hung: ext4 in a file, mounted by a loop device, so that a sync
// is a real sync.
//
// A hung disk is a frozen file system (FIFREEZE): whoever writes or syncs waits in the kernel and cannot even be killed,
// which is what processes see of a dead storage network or controller. It hangs until Thaw.
package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	fiFreeze, fiThaw = 0xc0045877, 0xc0045878
	filler           = "filler"
)

// Disk is a mounted file system.
type Disk struct {
	// Path is where it is mounted.
	Path  string
	image string
}

// New makes a file system of so many bytes in folder/name.img and mounts it at folder/name.
func New(folder, name string, size int64) (*Disk, error) {
	d := &Disk{Path: filepath.Join(folder, name), image: filepath.Join(folder, name+".img")}
	if err := errors.Join(os.MkdirAll(d.Path, 0o700), os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, size)); err != nil {
		return nil, err
	}
	for _, command := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-m", "0", d.image},
		{"mount", "-o", "loop", d.image, d.Path},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("disk %s: %s: %w: %s", name, strings.Join(command, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return d, nil
}

// Fill leaves no room on it.
func (d *Disk) Fill() error {
	f, err := os.OpenFile(filepath.Join(d.Path, filler), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var at int64
	for step := int64(64 << 20); step >= 1<<10; { // ever smaller, until nothing fits
		switch err := unix.Fallocate(int(f.Fd()), 0, at, step); {
		case err == nil:
			at += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("fill %s: %w", d.Path, err)
		}
	}
	return f.Sync()
}

// Free undoes Fill.
func (d *Disk) Free() error { return os.Remove(filepath.Join(d.Path, filler)) }

// Freeze hangs it: every write and sync waits until Thaw.
func (d *Disk) Freeze() error { return control(d.Path, fiFreeze) }

// Thaw ends Freeze.
func (d *Disk) Thaw() error { return control(d.Path, fiThaw) }

func control(path string, request uint) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.IoctlSetInt(fd, request, 0); err != nil {
		return fmt.Errorf("ioctl %#x of %s: %w", request, path, err)
	}
	return nil
}

// Close takes it away, with all that is on it. No process may use it.
func (d *Disk) Close() error {
	return errors.Join(Unmount(d.Path), os.Remove(d.image), os.Remove(d.Path))
}

// Unmount takes a file system from its folder, thawed if it was frozen. Its loop device goes with it.
func Unmount(path string) error {
	_ = control(path, fiThaw) // it says EINVAL when it was not frozen
	if err := unix.Unmount(path, 0); errors.Is(err, unix.EBUSY) {
		return unix.Unmount(path, unix.MNT_DETACH)
	} else if err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// escapes are how the kernel writes a path's blanks and backslashes.
var escapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// Mounted are the folders below root, which is without symbolic links, at which something is mounted, the latest first.
func Mounted(root string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if path := escapes.Replace(fields[1]); strings.HasPrefix(path, root+"/") {
			found = append([]string{path}, found...)
		}
	}
	return found, nil
}
