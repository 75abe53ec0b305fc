package dev_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/process"
)

func TestTheBuiltInEstateIsThreeRegionsFiveCenters(t *testing.T) {
	estate, err := dev.ReadEstate("")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range estate.Places() {
		got = append(got, p.Region+"/"+p.Center+"/"+string(p.Role))
	}
	want := "hangzhou/hz-a/Full hangzhou/hz-b/Full shanghai/sh-a/Full shanghai/sh-b/Full shenzhen/sz-a/Full"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestAWrongEstateFileIsRefusedWithFieldValueAndWhatWouldBeRight(t *testing.T) {
	for name, wrong := range map[string]struct {
		old, new string // in the built-in file
		want     []string
	}{
		"unknown field":  {"relays: 2", "relays: 2\nrelais: 3", []string{"relais"}},
		"repeated field": {"relays: 2", "relays: 2\nrelays: 3", []string{"relays"}},
		"no YAML":        {"relays: 2", "relays: [", []string{"line"}},
		"wrong type":     {"relays: 2", "relays: many", []string{"relays"}},
		"relays":         {"relays: 2", "relays: 0", []string{"relays", "0", "between 1 and 9"}},
		"trust domain":   {"pentad.test", "Pentad!", []string{"trustDomain", "Pentad!"}},
		"region's name":  {"name: shanghai", "name: Shang_hai", []string{"regions[1].name", "Shang_hai"}},
		"region twice":   {"name: shanghai", "name: hangzhou", []string{"regions[1].name", "hangzhou", "unique"}},
		"center twice":   {"name: sz-a", "name: hz-a", []string{"regions[2].centers[0].name", "hz-a", "hangzhou"}},
		"role":           {"sz-a, role: Full", "sz-a, role: full", []string{"regions[2].centers[0].role", "full", "Arbiter"}},
		"service":        {"name: catalog", "name: katalog", []string{"services[0].name", "katalog", "catalog, orders"}},
		"service twice":  {"name: catalog", "name: assets", []string{"services[1].name", "assets"}},
		"instances":      {"catalog, instances: 2", "catalog, instances: 10", []string{"services[0].instances: 10"}},
		"rate":           {"rate: 10", "rate: -1", []string{"rate", "-1", "between 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(dev.DefaultEstate(), wrong.old, wrong.new, 1)
			if text == dev.DefaultEstate() {
				t.Fatalf("%q is not in the built-in file", wrong.old)
			}
			path := filepath.Join(t.TempDir(), "estate.yaml")
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := dev.ReadEstate(path)
			var usage *process.UsageError
			if !errors.As(err, &usage) {
				t.Fatalf("got %v, want a usage error", err)
			}
			for _, part := range append(wrong.want, path) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestAnEstateWithoutFullCentersIsRefused(t *testing.T) {
	text := strings.ReplaceAll(dev.DefaultEstate(), "role: Full", "role: Arbiter")
	path := filepath.Join(t.TempDir(), "estate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := dev.ReadEstate(path); err == nil || !strings.Contains(err.Error(), "no center is Full") {
		t.Errorf("got %v", err)
	}
}
