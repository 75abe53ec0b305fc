package consensus

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft-wal/types"
)

const (
	// versionFile binds a folder to a layout and a node. It is written last when a folder is made.
	versionFile = "VERSION"
	// makingFile is there while a folder is being made.
	makingFile    = "MAKING"
	layoutVersion = 1
)

func versionText(id string) string {
	return fmt.Sprintf("pentad consensus %d\nnode %s\n", layoutVersion, id)
}

// folder is a node's data folder, open and held for this process.
type folder struct {
	claim io.Closer
	meta  *metaStore
	store *logStore
	log   cachedLog
	snaps *snapshots
}

// openFolder opens the folder of a node, or makes it. Making takes three steps, so that a crash between any two leaves
// a folder that is either not yet begun, known to be unfinished (nothing in it was promised to anyone), or whole.
func openFolder(cfg *Config, d *disk, logger hclog.Logger, bootstrap func(*folder) error) (*folder, error) {
	claim, err := d.Claim(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFolder, cfg.Dir, err)
	}
	f := &folder{claim: claim}
	if err := f.open(cfg, d, logger, bootstrap); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrFolder, cfg.Dir, err), f.close())
	}
	return f, nil
}

func (f *folder) open(cfg *Config, d *disk, logger hclog.Logger, bootstrap func(*folder) error) error {
	made, err := checkFolder(d, cfg.Dir, cfg.ID)
	if err != nil {
		return err
	}
	if made {
		if f.meta, err = openMetaStore(d, cfg.Dir); err != nil {
			return err
		}
		return f.openStores(cfg, d, logger)
	}
	if err := writeFile(d, cfg.Dir, makingFile, versionText(cfg.ID)); err != nil {
		return err
	}
	if f.meta, err = createMetaStore(d, cfg.Dir); err != nil {
		return err
	}
	if err := f.openStores(cfg, d, logger); err != nil {
		return err
	}
	if err := bootstrap(f); err != nil {
		return err
	}
	if err := writeFile(d, cfg.Dir, versionFile, versionText(cfg.ID)); err != nil {
		return err
	}
	return d.Delete(cfg.Dir, makingFile)
}

func (f *folder) openStores(cfg *Config, d *disk, logger hclog.Logger) (err error) {
	f.snaps = &snapshots{fs: d, dir: cfg.Dir, logger: logger}
	if err := f.snaps.reap(); err != nil {
		return err
	}
	if f.store, err = newLogStore(cfg.Dir, d, f.meta, cfg.SegmentSize, logger); err != nil {
		return err
	}
	f.store.observer = cfg.Observer
	f.log = newCachedLog(f.store)
	return nil
}

// checkFolder says whether the folder is a finished one of that node. One that was never finished is emptied.
func checkFolder(vfs types.VFS, dir, id string) (made bool, err error) {
	names, err := vfs.ListDir(dir)
	if err != nil {
		return false, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" || n == lockFile })
	if slices.Contains(names, versionFile) {
		got, err := readFile(vfs, dir, versionFile)
		if err != nil {
			return false, err
		}
		switch want := versionText(id); {
		case got == want:
			if slices.Contains(names, makingFile) {
				return true, vfs.Delete(dir, makingFile)
			}
			return true, nil
		case slices.Contains(names, makingFile) && strings.HasPrefix(want, got):
			// Torn while it was written: below.
		default:
			return false, wrongVersion(got, id)
		}
	}
	if len(names) == 0 {
		return false, nil
	}
	if !slices.Contains(names, makingFile) {
		return false, fmt.Errorf("it has no %s but holds %s: not a folder of this program, or damaged", versionFile, names[0])
	}
	// The mark goes last: until then the folder is known to be unfinished.
	for _, n := range append(slices.DeleteFunc(names, func(n string) bool { return n == makingFile }), makingFile) {
		if err := vfs.Delete(dir, n); err != nil {
			return false, err
		}
	}
	return false, nil
}

func wrongVersion(got, id string) error {
	var layout int
	var node string
	if n, _ := fmt.Sscanf(got, "pentad consensus %d\nnode %s\n", &layout, &node); n != 2 {
		return fmt.Errorf("its %s says %q: not a folder of this program, or damaged", versionFile, got)
	}
	if layout != layoutVersion {
		return fmt.Errorf("it has layout version %d, this program reads and writes %d", layout, layoutVersion)
	}
	return fmt.Errorf("it belongs to node %q, not to %q", node, id)
}

// close closes everything and frees the folder.
func (f *folder) close() error {
	var errs []error
	if f.store != nil {
		errs = append(errs, f.store.close())
	}
	if f.meta != nil {
		errs = append(errs, f.meta.Close())
	}
	return errors.Join(append(errs, f.claim.Close())...)
}

func writeFile(vfs types.VFS, dir, name, content string) error {
	f, err := vfs.Create(dir, name, 0)
	if errors.Is(err, fs.ErrExist) {
		f, err = vfs.OpenWriter(dir, name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err = f.WriteAt([]byte(content), 0); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func readFile(vfs types.VFS, dir, name string) (string, error) {
	f, err := vfs.OpenReader(dir, name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	b, err := readAll(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(b), nil
}
