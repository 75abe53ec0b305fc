package drill

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/drill/report"
	"pentad.dev/pentad/process"
)

// What a center needs on one machine.
const (
	megabytesPerCenter = 300
	filesNeeded        = 1024
	diskNeeded         = 500 // megabytes
)

// marker says that a folder is a drill's, which the next drill may empty.
const marker = "PENTAD-DRILL"

// estateFolder is where the drill's estate keeps its data.
func estateFolder(data string) string { return filepath.Join(data, "estate") }

// checkMachine refuses to begin what would fail in the middle.
func checkMachine(cfg Config) error {
	estate, err := dev.ReadEstate(cfg.Estate)
	if err != nil {
		return err
	}
	need := megabytesPerCenter * len(estate.Places())
	if have := memory("MemAvailable"); have > 0 && have < need {
		return fmt.Errorf(
			"%d MB of memory are available, a drill with %d centers needs about %d",
			have,
			len(estate.Places()),
			need,
		)
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Max < filesNeeded {
		return fmt.Errorf(
			"a process may open %d files here, a drill needs %d: raise the limit (ulimit -n)",
			files.Max,
			filesNeeded,
		)
	}
	return nil
}

// memory reads a line of /proc/meminfo, in megabytes; 0 if it can't.
func memory(field string) int {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			kilobytes, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kilobytes / 1024
		}
	}
	return 0
}

// freshFolder empties what an earlier drill left, and refuses to touch anything else.
func freshFolder(data string) error {
	entries, err := os.ReadDir(data)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return &process.UsageError{Err: err}
	case len(entries) > 0:
		if _, err := os.Stat(filepath.Join(data, marker)); err != nil {
			return process.Usagef("data folder %s holds something that is no drill's: name another folder, or empty it", data)
		}
		if err := inUse(data); err != nil {
			return err
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(data, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return &process.UsageError{Err: err}
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(data, &disk); err == nil {
		if free := disk.Bavail * uint64(disk.Bsize) >> 20; free < diskNeeded {
			return fmt.Errorf("data folder %s has %d MB of free disk, a drill needs %d", data, free, diskNeeded)
		}
	}
	return os.WriteFile(filepath.Join(data, marker), []byte("This folder is emptied by the next drill.\n"), 0o644)
}

// inUse refuses a folder in which another drill is going on.
func inUse(data string) error {
	lock, err := os.OpenFile(filepath.Join(estateFolder(data), "LOCK"), os.O_RDWR, 0)
	if err != nil {
		return nil // there is no estate in it
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return process.Usagef("data folder %s is in use by another drill: wait for its end, or name another folder", data)
	}
	return nil
}

// thisMachine is for the report.
func thisMachine(processes int) report.Machine {
	m := report.Machine{CPUs: runtime.NumCPU(), MemoryMB: memory("MemTotal"), Processes: processes}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	return m
}
