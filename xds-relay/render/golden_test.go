package render

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"
)

var rewrite = flag.Bool("update", false, "write testdata/out anew")

func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/in/*.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, input := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(input), ".yaml"), func(t *testing.T) {
			got := renderScenario(t, readFile(t, input))
			output := filepath.Join("testdata", "out", filepath.Base(input))
			if *rewrite {
				if err := os.WriteFile(output, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := readFile(t, output); !bytes.Equal(got, want) {
				t.Errorf("%s differs from what was rendered (go test -update writes it anew):\n%s", output, got)
			}
		})
	}
}

// An output that no input makes any more would prove nothing.
func TestGoldenOutputsHaveInputs(t *testing.T) {
	outputs, _ := filepath.Glob("testdata/out/*")
	for _, output := range outputs {
		if _, err := os.Stat(filepath.Join("testdata", "in", filepath.Base(output))); err != nil {
			t.Errorf("%s: %v", output, err)
		}
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// renderScenario is what a scenario gives, for people to read.
func renderScenario(t *testing.T, text []byte) []byte {
	t.Helper()
	s := parseScenario(t, text)
	w := s.enact(t)
	var resources []Resource
	for _, name := range append([]string{s.Service}, s.Also...) {
		if name == "" {
			continue
		}
		rendered, err := Service(w.service(name), s.view())
		if err != nil {
			t.Fatal(err)
		}
		resources = append(resources, rendered...)
	}
	for _, n := range s.OnDemand {
		r, ok := OnDemand(n.Type, n.Name)
		if !ok {
			r, ok = Absent(n.Type, n.Name, s.view())
		}
		if !ok {
			t.Fatalf("%s %q: nothing on demand", n.Type, n.Name)
		}
		resources = append(resources, r)
	}
	out := struct {
		Conflicts []string `json:"conflicts,omitempty"`
		Resources []any    `json:"resources"`
	}{}
	if s.Service != "" {
		for _, c := range w.service(s.Service).Conflicts {
			out.Conflicts = append(out.Conflicts, c.String())
		}
	}
	for _, r := range resources {
		out.Resources = append(out.Resources, readable(t, r))
	}
	b, err := yaml.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readable(t *testing.T, r Resource) any {
	t.Helper()
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(unpack(t, r))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	out["@type"] = r.Type
	return out
}

func unpack(t testing.TB, r Resource) proto.Message {
	t.Helper()
	m, err := unpackAny(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func unpackAny(body []byte) (proto.Message, error) {
	a := &anypb.Any{}
	if err := proto.Unmarshal(body, a); err != nil {
		return nil, err
	}
	return a.UnmarshalNew()
}
