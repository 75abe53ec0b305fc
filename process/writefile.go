package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes a new file that is there, under its name, only when it is whole and on disk. A name that is taken is a
// UsageError. The file is for its owner alone.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return Usagef("%s is there already: name another file", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return &UsageError{err}
	}
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return &UsageError{err}
	}
	defer func() {
		if err != nil {
			_ = part.Close()
			_ = os.Remove(part.Name())
		}
	}()
	buffered := bufio.NewWriterSize(part, 64<<10)
	if err := errors.Join(write(buffered), buffered.Flush()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(part.Sync(), part.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Link(part.Name(), path); err != nil { // unlike a rename, not over a file that has come meanwhile
		return fmt.Errorf("write %s: %w", path, err)
	}
	_ = os.Remove(part.Name())
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
