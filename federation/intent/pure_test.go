package intent

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoClockNoRandomNoFiles reads the sources of what Apply runs: two replicas must never differ by their
// surroundings.
func TestNoClockNoRandomNoFiles(t *testing.T) {
	forbidden := map[string]bool{"os": true, "net": true, "math/rand": true, "math/rand/v2": true, "crypto/rand": true,
		"net/http": true, "runtime": true, "log/slog": true}
	for _, pattern := range []string{"*.go", "../../crds/v1alpha1/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range file.Imports {
				if path := strings.Trim(i.Path.Value, `"`); forbidden[path] {
					t.Errorf("%s imports %s", name, path)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := call.X.(*ast.Ident); ok &&
					(x.Name == "time" && (call.Sel.Name == "Now" || call.Sel.Name == "Since") ||
						x.Name == "uuid" && strings.HasPrefix(call.Sel.Name, "New")) {
					t.Errorf("%s uses %s.%s", name, x.Name, call.Sel.Name)
				}
				return true
			})
		}
	}
}
