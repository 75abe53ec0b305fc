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
	// versionFile binds a folder to a layout and a node and names it. It is written last when a folder is made.
	versionFile = "VERSION"
	// makingFile is there while a folder is being made. It holds what VERSION will.
	makingFile    = "MAKING"
	layoutVersion = 2
)

func versionText(node, folder string) string {
	return fmt.Sprintf("pentad consensus %d\nnode %s\nfolder %s\n", layoutVersion, node, folder)
}

// folder is a node's data folder, open and held for this process.
type folder struct {
	id       string
	enrolled enrolment // zero while it is in no cluster
	claim    io.Closer
	meta     *metaStore
	store    *logStore
	log      cachedLog
	snaps    *snapshots
}

// opening says what openFolder may find.
type opening int

const (
	makeOrOpen opening = iota
	mustExist
	mustMake
)

// openFolder opens the folder of a node, or makes it. Making takes three steps, so that a crash between any two leaves
// a folder that is either not yet begun, known to be unfinished (nothing in it was promised to anyone), or whole. fill,
// if given, puts something into a new folder.
func openFolder(cfg *Config, d *disk, logger hclog.Logger, how opening, fill func(*folder) error) (*folder, error) {
	claim, err := d.Claim(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFolder, cfg.Dir, err)
	}
	f := &folder{claim: claim}
	if err := f.open(cfg, d, logger, how, fill); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrFolder, cfg.Dir, err), f.close())
	}
	return f, nil
}

func (f *folder) open(cfg *Config, d *disk, logger hclog.Logger, how opening, fill func(*folder) error) (err error) {
	switch f.id, err = checkFolder(d, cfg.Dir, cfg.ID); {
	case err != nil:
		return err
	case f.id == "" && how == mustExist:
		return errors.New("it was never finished")
	case f.id != "" && how == mustMake:
		return fmt.Errorf("it is not empty: it is a folder of node %q already", cfg.ID)
	case f.id != "":
		if f.meta, err = openMetaStore(d, cfg.Dir); err != nil {
			return err
		}
		return f.openStores(cfg, d, logger)
	}
	if f.id = cfg.NewFolder; f.id == "" {
		if f.id, err = newUUID(); err != nil {
			return err
		}
	}
	text := versionText(cfg.ID, f.id)
	if err := writeFile(d, cfg.Dir, makingFile, text); err != nil {
		return err
	}
	if f.meta, err = createMetaStore(d, cfg.Dir); err != nil {
		return err
	}
	if err := f.openStores(cfg, d, logger); err != nil {
		return err
	}
	if fill != nil {
		if err := fill(f); err != nil {
			return err
		}
	}
	if err := writeFile(d, cfg.Dir, versionFile, text); err != nil {
		return err
	}
	return d.Delete(cfg.Dir, makingFile)
}

func (f *folder) openStores(cfg *Config, d *disk, logger hclog.Logger) (err error) {
	f.snaps = &snapshots{fs: d, dir: cfg.Dir, logger: logger, watch: d.watch}
	if err := f.snaps.reap(); err != nil {
		return err
	}
	if f.store, err = newLogStore(cfg.Dir, d, f.meta, cfg.SegmentSize, logger); err != nil {
		return err
	}
	f.store.observer = cfg.Observer
	f.log = newCachedLog(f.store)
	if err := f.loadEnrolment(); err != nil {
		return err
	}
	return f.mendBootstrap()
}

// checkFolder returns the id of a finished folder of that node, "" for none. One that was never finished is emptied.
func checkFolder(vfs types.VFS, dir, node string) (id string, err error) {
	names, err := vfs.ListDir(dir)
	if err != nil {
		return "", err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" || n == lockFile })
	making := slices.Contains(names, makingFile)
	if slices.Contains(names, versionFile) {
		got, err := readFile(vfs, dir, versionFile)
		if err != nil {
			return "", err
		}
		want := ""
		if making {
			if want, err = readFile(vfs, dir, makingFile); err != nil {
				return "", err
			}
		}
		if torn := making && len(got) < len(want) && strings.HasPrefix(want, got); !torn {
			if id, err = parseVersion(got, node); err == nil && making {
				err = vfs.Delete(dir, makingFile)
			}
			return id, err
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	if !making {
		return "", fmt.Errorf("it has no %s but holds %s: not a folder of this program, or damaged", versionFile, names[0])
	}
	// The mark goes last: until then the folder is known to be unfinished.
	for _, n := range append(slices.DeleteFunc(names, func(n string) bool { return n == makingFile }), makingFile) {
		if err := vfs.Delete(dir, n); err != nil {
			return "", err
		}
	}
	return "", nil
}

// parseVersion returns the folder's id from its VERSION, which must be that node's.
func parseVersion(got, node string) (id string, err error) {
	owner, id, err := splitVersion(got)
	if err == nil && owner != node {
		return "", fmt.Errorf("it belongs to node %q, not to %q", owner, node)
	}
	return id, err
}

func splitVersion(got string) (node, folder string, err error) {
	var layout int
	if n, _ := fmt.Sscanf(got, "pentad consensus %d\n", &layout); n == 1 && layout != layoutVersion {
		return "", "", fmt.Errorf("it has layout version %d, this program reads and writes %d", layout, layoutVersion)
	}
	if lines := strings.Split(got, "\n"); len(lines) == 4 {
		node, folder = strings.TrimPrefix(lines[1], "node "), strings.TrimPrefix(lines[2], "folder ")
		if got == versionText(node, folder) && checkUUID(folder) == nil {
			return node, folder, nil
		}
	}
	return "", "", fmt.Errorf("its %s says %q: not a folder of this program, or damaged", versionFile, got)
}

// nodeOf returns whose folder it is.
func nodeOf(vfs types.VFS, dir string) (string, error) {
	got, err := readFile(vfs, dir, versionFile)
	if err != nil {
		return "", err
	}
	node, _, err := splitVersion(got)
	return node, err
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
