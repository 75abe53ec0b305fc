package v1alpha1

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestExamplesAreValid: each object of docs/examples is right by itself, and in an estate of three regions and five
// centers to which the others are applied.
func TestExamplesAreValid(t *testing.T) {
	d := declared{
		centers: map[string]*Center{}, clusters: map[string]*Cluster{}, policies: map[string]*ServicePolicy{},
		stores: map[string]*Store{}, unitizations: map[string]*Unitization{}, switchovers: map[string]*Switchover{},
	}
	for name, region := range map[string]string{
		"hz-a": "hangzhou", "hz-b": "hangzhou", "sh-a": "shanghai", "sh-b": "shanghai", "sz-a": "shenzhen",
	} {
		d.centers[name], d.clusters[name+"-vm"] = open(center(name, region, CenterFull)), cluster(name+"-vm", name)
	}
	examples := map[string]Object{}
	for _, file := range []string{
		"stores.yaml", "users.yaml", "evacuate-hangzhou.yaml", "disaster.yaml", "baseline.yaml", "assets-to-shenzhen.yaml",
		"estate.yaml",
	} {
		content, err := os.ReadFile(filepath.Join("../../docs/examples", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range bytes.Split(content, []byte("\n---\n")) {
			object := decodeExample(t, file, document)
			Default(object)
			examples[file+" "+object.GetName()] = object
			switch object := object.(type) {
			case *Store:
				d.stores[object.Name] = object
			case *Unitization:
				d.unitizations[object.Name] = object
			}
		}
	}
	if len(examples) != 11 || len(d.stores) != 4 {
		t.Errorf("%d examples with %d stores, want 11 with 4", len(examples), len(d.stores))
	}
	for name, object := range examples {
		for _, err := range append(Validate(object), ValidateReferences(object, nil, d)...) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func decodeExample(t *testing.T, file string, document []byte) Object {
	t.Helper()
	var typed struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(document, &typed); err != nil || typed.APIVersion != GroupVersion.String() {
		t.Fatalf("%s: apiVersion %q, %v", file, typed.APIVersion, err)
	}
	object := New(typed.Kind)
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return object
}
