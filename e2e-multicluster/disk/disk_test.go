//go:build linux && e2e

package disk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const size = 32 << 20

func mounted(t *testing.T) *Disk {
	t.Helper()
	folder := t.TempDir()
	guardian, err := Guarded(folder, "d", "d.img")
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(folder, "d", size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.Close(), guardian.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

func write(d *Disk, name string) error {
	f, err := os.Create(filepath.Join(d.Path, name))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 64<<10)); err != nil {
		return err
	}
	return f.Sync()
}

func TestAFullDiskHasNoRoomUntilItIsFreed(t *testing.T) {
	d := mounted(t)
	if err := d.Fill(); err != nil {
		t.Fatal(err)
	}
	if err := write(d, "a"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v, want no space", err)
	}
	if err := d.Free(); err != nil {
		t.Fatal(err)
	}
	if err := write(d, "b"); err != nil {
		t.Error(err)
	}
}

func TestAFrozenDiskHangsUntilItThaws(t *testing.T) {
	d := mounted(t)
	if err := d.Freeze(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- write(d, "a") }()
	select {
	case err := <-done:
		t.Errorf("a write came back from a frozen disk: %v", err)
		done = nil
	case <-time.After(300 * time.Millisecond):
	}
	if err := d.Thaw(); err != nil {
		t.Fatal(err)
	}
	if done == nil {
		return
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the write hangs on a disk that does not any more")
	}
}
