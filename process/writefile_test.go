package process

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFileIsWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	says := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, first := io.WriteString(w, text)
			return errors.Join(first, err)
		}
	}
	broken := errors.New("broke off")
	if err := WriteFile(path, says("half", broken)); !errors.Is(err, broken) {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := WriteFile(path, says("whole", nil)); err != nil {
		t.Error(err)
	}
	var usage *UsageError
	if err := WriteFile(path, says("another", nil)); !errors.As(err, &usage) {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := WriteFile(filepath.Join(dir, "no", "where"), says("", nil)); !errors.As(err, &usage) {
		t.Errorf("a folder that is not there: %v", err)
	}
	got, err := os.ReadFile(path)
	left, _ := os.ReadDir(dir)
	if err != nil || string(got) != "whole" || len(left) != 1 {
		t.Errorf("%q, %v, beside %v", got, err, left)
	}
}
