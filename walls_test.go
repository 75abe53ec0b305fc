package pentad

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "pentad.dev/pentad/"

// A wall says what a room may import. Test files may import more: the wall is around what ships.
type wall struct {
	room string // a folder and everything below it, unless a deeper wall says otherwise
	may  []string
}

// walls are the import walls of docs/architecture.md, the deepest room that matches a package decides. A room may always
// import what lies below itself.
var walls = []wall{
	{"process", nil},
	{"crds", nil},
	{"federation/feed", nil},
	{"federation/model", []string{"federation/feed"}},
	{"federation/consensus", nil},
	{"federation/intent", []string{"federation/feed", "federation/model", "crds", "unitization/route", "unitization/permit", "unitization/switchover"}},
	{"federation/apiserver", []string{"federation/intent", "federation/feed", "federation/model", "crds"}},
	{"federation/catalog", []string{"federation/feed", "federation/model", "crds"}},
	{"federation/identity", nil},
	{"federation/backup", nil},
	{"federation/sim", []string{"federation", "unitization", "xds-relay", "agents", "client", "crds", "process", "dev/sample"}},
	{"federation/controller", []string{"federation/intent", "federation/feed", "federation/model", "crds", "unitization"}},
	{"federation/server", []string{"federation", "crds", "process", "unitization"}},
	{"unitization", []string{"unitization"}},
	{"xds-relay", []string{"federation/feed", "federation/model", "federation/catalog", "federation/identity", "unitization", "crds", "process"}},
	{"xds-relay/upstream", []string{"federation/feed", "federation/model"}},
	{"xds-relay/render", []string{"federation/feed", "federation/model", "federation/catalog", "unitization/route", "crds"}},
	{"xds-relay/serve", []string{"federation/feed"}},
	{"xds-relay/bootstrap", nil},
	{"agents", []string{"federation/feed", "federation/model", "federation/catalog", "federation/identity", "unitization", "crds", "process"}},
	{"client", []string{"crds"}},
	{"dev", []string{"federation", "unitization", "xds-relay", "agents", "client", "crds", "process", "dev"}},
	{"e2e-multicluster", []string{"federation", "unitization", "xds-relay", "agents", "client", "crds", "process", "dev"}},
	{"ops", []string{"federation", "unitization", "xds-relay", "agents", "client", "crds", "process", "dev"}},
	{"cmd", []string{"federation", "unitization", "xds-relay", "agents", "client", "crds", "process", "dev"}},
	{"tools", nil},
}

// never lists what a room must not import even though a wider rule lets it.
var never = map[string][]string{
	"xds-relay": {"federation/identity/ca"},
	"agents":    {"federation/identity/ca"},
}

// heavy dependencies have one room each.
var heavy = map[string][]string{
	"github.com/hashicorp/raft":               {"federation/consensus"},
	"github.com/hashicorp/raft-wal":           {"federation/consensus"},
	"k8s.io/apiserver":                        {"federation/apiserver"},
	"k8s.io/client-go":                        {"federation/apiserver", "client", "agents/kubernetes", "agents/mcs", "agents/kubefed"},
	"github.com/envoyproxy/go-control-plane":  {"xds-relay/render", "xds-relay/serve", "xds-relay/authz", "dev/drill"},
	"github.com/spiffe/go-spiffe":             {"federation/identity"},
	"github.com/prometheus/client_golang":     nil, // numbers are everywhere
	"google.golang.org/grpc/xds":              {"dev"},
	"github.com/spf13/cobra":                  {"cmd"},
	"github.com/fsnotify/fsnotify":            {"agents/vm"},
	"github.com/hashicorp/go-immutable-radix": {"federation/intent"},
	module + "process/loopback":               {"process/loopback"}, // tests alone
}

// pure rooms import nothing that does I/O.
var pure = map[string][]string{
	"xds-relay/render":   {"net", "net/http", "os", "io/fs", "os/exec", "google.golang.org/grpc", "crypto/tls"},
	"federation/catalog": {"net", "net/http", "os", "io/fs", "os/exec", "google.golang.org/grpc", "crypto/tls"},
	"federation/intent":  {"net", "net/http", "os", "os/exec", "math/rand", "math/rand/v2", "crypto/rand", "crypto/tls"},
	"crds":               {"net/http", "os", "os/exec", "math/rand", "math/rand/v2", "crypto/rand"},
	"dev/drill/oracle":   {"net", "net/http", "os", "io/fs", "os/exec", "google.golang.org/grpc"},
	"unitization/route":  {"net", "net/http", "os", "io/fs", "os/exec", "google.golang.org/grpc", "math/rand", "math/rand/v2", "time"},
	"unitization/switchover": {
		"net", "net/http", "os", "io/fs", "os/exec", "google.golang.org/grpc", "math/rand", "math/rand/v2", "crypto/rand",
	},
	"unitization/permit": {"net", "net/http", "os", "io/fs", "os/exec", "google.golang.org/grpc", "crypto/tls"},
}

// shells are below a pure room and do its I/O.
var shells = []string{"unitization/permit/stream", "unitization/permit/permitpb"}

func within(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

// breach says why the package in folder pkg must not import imported, or "".
func breach(pkg, imported string) string {
	for room, outside := range pure {
		if within(pkg, room) && !slices.Contains(shells, pkg) && slices.Contains(outside, imported) {
			return fmt.Sprintf("%s is pure and imports %s", room, imported)
		}
	}
	for dependency, rooms := range heavy {
		if rooms != nil && within(imported, dependency) && !slices.ContainsFunc(rooms, func(room string) bool { return within(pkg, room) }) {
			return fmt.Sprintf("%s imports %s, whose rooms are %v", pkg, dependency, rooms)
		}
	}
	target, ours := strings.CutPrefix(imported, module)
	if !ours {
		return ""
	}
	best := wall{}
	for _, w := range walls {
		if within(pkg, w.room) && len(w.room) > len(best.room) {
			best = w
		}
	}
	if best.room == "" {
		return fmt.Sprintf("%s has no wall: add one to walls_test.go", pkg)
	}
	for room, forbidden := range never {
		if within(pkg, room) && slices.ContainsFunc(forbidden, func(f string) bool { return within(target, f) }) {
			return fmt.Sprintf("%s must never import %s", room, target)
		}
	}
	if within(target, best.room) || slices.ContainsFunc(best.may, func(may string) bool { return within(target, may) }) {
		return ""
	}
	return fmt.Sprintf("%s imports %s, and may import only %v of Pentad", pkg, target, best.may)
}

// isModule says whether a folder is a module of its own.
func isModule(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}

func TestImportWallsHold(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), "."), entry.IsDir() && entry.Name() == "testdata", name == "tools":
			return filepath.SkipDir
		case entry.IsDir() && name != "." && isModule(name):
			return filepath.SkipDir // another module: nothing of it is linked into Pentad
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if pkg := path.Dir(filepath.ToSlash(name)); pkg != "." {
				if why := breach(pkg, imported); why != "" {
					t.Errorf("%s: %s", name, why)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d files read", files)
	}
}

func TestABreachIsFound(t *testing.T) {
	for _, planted := range []struct {
		pkg, imported string
		found         bool
	}{
		{"federation/feed", module + "federation/model", true},
		{"agents/vm", module + "process/loopback", true},
		{"federation/feed", module + "federation/feed/feedpb", false},
		{"federation/intent", "github.com/hashicorp/raft", true},
		{"federation/consensus", "github.com/hashicorp/raft", false},
		{"federation/consensus", module + "federation/intent", true},
		{"xds-relay/serve", module + "federation/intent", true},
		{"xds-relay/render", "net/http", true},
		{"xds-relay", module + "federation/consensus", true},
		{"xds-relay", module + "federation/identity", false},
		{"xds-relay", module + "federation/identity/ca", true},
		{"agents/vm", "k8s.io/client-go/rest", true},
		{"federation/server", module + "dev", true},
		{"client", module + "federation/apiserver", true},
		{"dev/drill", module + "client", false},
		{"unitization/switchover", module + "federation/intent", true},
		{"unitization/switchover", "crypto/rand", true},
		{"unitization/permit/stream", "crypto/tls", false},
		{"unitization/permit", "crypto/tls", true},
		{"federation/controller", module + "federation/consensus", true},
		{"newroom", module + "crds/v1alpha1", true},
	} {
		if why := breach(planted.pkg, planted.imported); (why != "") != planted.found {
			t.Errorf("%s importing %s: found %q, want a breach: %v", planted.pkg, planted.imported, why, planted.found)
		}
	}
}
