package dev_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/agents"
	"pentad.dev/pentad/agents/vm"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
)

var update = flag.Bool("update", false, "write golden files")

func TestWrongUnitsAreRefusedWithFieldValueAndWhatWouldBeRight(t *testing.T) {
	for name, wrong := range map[string]struct {
		old, new string // in units.yaml
		want     []string
	}{
		"unknown field":      {"header: x-user-id", "header: x-user-id\n  heder: x", []string{"heder"}},
		"unitization twice":  {"name: shared", "name: users", []string{"unitizations[1].name", "users"}},
		"shards":             {"shards: 100", "shards: 0", []string{"unitizations[0].shards: 0", "between 1 and 16384"}},
		"no header":          {"  header: x-user-id\n", "", []string{"unitizations[0].header", "more than one shard"}},
		"header of one":      {"shards: 1\n", "shards: 1\n  header: x\n", []string{"unitizations[1].header", `"x"`}},
		"unknown service":    {"services: [orders]", "services: [order]", []string{"unitizations[0].services[0]", "order"}},
		"service of nobody":  {"services: [orders]", "services: [assets]", []string{"services[0]", "assets", "no writes"}},
		"service twice":      {"services: [catalog]", "services: [orders]", []string{"unitizations[1].services[0]", "users"}},
		"unit twice":         {"name: gz", "name: rz01", []string{"unitizations[1].units[0].name", "rz01", "unique"}},
		"unit's name":        {"name: gz", "name: GZ", []string{"unitizations[1].units[0].name", "GZ"}},
		"type":               {"type: Global", "type: Globe", []string{"unitizations[1].units[0].type", "Globe", "City"}},
		"mixed":              {"name: rz01,", "name: rz01, type: Global,", []string{"units[0].type", "one shard"}},
		"no cells":           {"cells: [sz-a]}", "cells: []}", []string{"unitizations[1].units[3].cells"}},
		"unknown center":     {"standby: [hz-b]", "standby: [hz-c]", []string{"units[3].standby[0]", "hz-c", "Full"}},
		"two cells":          {"standby: [hz-b]", "standby: [sh-b]", []string{"units[3].standby[0]", "sh-b", "one cell"}},
		"overlap":            {"from: 25", "from: 24", []string{"units[1].shards[0]", "shard 24", "rz01"}},
		"hole":               {"from: 25", "from: 26", []string{"unitizations[0].units", "shard 25 belongs to none"}},
		"beyond":             {"to: 99", "to: 100", []string{"units[3].shards[0]", "75 to 100", "0 to 99"}},
		"backwards":          {"to: 99", "to: 9", []string{"units[3].shards[0]", "75 to 9"}},
		"no shards":          {"shards: [{from: 75, to: 99}], ", "", []string{"units[3].shards", "at least one"}},
		"no store":           {", store: catalog-gz}", "}", []string{"unitizations[1].units[0].store"}},
		"a City's store":     {"cells: [sz-a]}", "cells: [sz-a], store: catalog-gz}", []string{"units[3].store", "City"}},
		"shared store":       {"store: orders-rz02}", "store: orders-rz01}", []string{"stores[0].name", "2 units"}},
		"store twice":        {"- {name: orders-rz02", "- {name: orders-rz01", []string{"stores[1].name", "orders-rz01"}},
		"primary elsewhere":  {"primary: sh-a", "primary: sh-b", []string{"stores[2].primary", "sh-b", "members"}},
		"member twice":       {"[sh-a, sz-a, hz-a]", "[sh-a, sz-a, sz-a]", []string{"stores[2].members[2]", "sz-a"}},
		"unknown member":     {"[sh-a, sz-a, hz-a]", "[sh-a, sz-a, hz-c]", []string{"stores[2].members[2]", "hz-c"}},
		"even members":       {"[sh-a, sz-a, hz-a]", "[sh-a, sz-a]", []string{"stores[2].members", "majority"}},
		"writes":             {"writes: 5", "writes: 51", []string{"writes: 51", "between 0"}},
		"members in Arbiter": {"sz-a, role: Full", "sz-a, role: Arbiter", []string{"stores[0].members[2]", "sz-a", "Full"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(unitsYAML(t), wrong.old, wrong.new, 1)
			if text == unitsYAML(t) {
				t.Fatalf("%q is not in units.yaml", wrong.old)
			}
			_, err := dev.ReadEstate(write(t, text))
			var usage *process.UsageError
			if !errors.As(err, &usage) {
				t.Fatalf("got %v, want a usage error", err)
			}
			for _, part := range wrong.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// unitsYAML is the built-in estate with units.
func unitsYAML(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("units.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, estate string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "estate.yaml")
	if err := os.WriteFile(path, []byte(estate), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// openUnits lays an estate with units out.
func openUnits(t *testing.T) (*dev.Site, string) {
	t.Helper()
	cfg := smallConfig(t, t.TempDir())
	cfg.Estate = write(t, unitsYAML(t))
	return open(t, cfg), cfg.Data
}

func load[T any](t *testing.T, path string) T {
	t.Helper()
	var value T
	data, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(data, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// identityOf is the SPIFFE id in a certificate.
func identityOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || len(cert.URIs) != 1 {
		t.Fatal(cert, err)
	}
	return cert.URIs[0].String()
}

func TestTheLayoutOfUnits(t *testing.T) {
	site, data := openUnits(t)
	var out strings.Builder
	for _, place := range site.Estate().Places() {
		center := place.Center
		config := load[sample.ServerConfig](t, filepath.Join(data, "config", dev.SampleName(center)+".yaml"))
		fmt.Fprintf(&out, "%s\n", config.Name)
		for _, in := range config.Instances {
			fmt.Fprintf(&out, "  %s", in.Name)
			if in.Cell != "" {
				fmt.Fprintf(&out, " unit %s, store %q, %s", in.Unit, in.Store, identityOf(t, in.Certificates.Cert))
			}
			out.WriteString("\n")
		}
		for _, l := range config.Ledgers {
			fmt.Fprintf(&out, "  ledger of %s, %s, %s\n", l.Store, filepath.Base(l.Dir), identityOf(t, l.Certificates.Cert))
		}
		client := load[sample.LoadConfig](t, filepath.Join(data, "config", dev.LoadName(center)+".yaml"))
		fmt.Fprintf(&out, "%s\n", client.Name)
		for _, w := range client.Writes {
			fmt.Fprintf(&out, "  writes %s of %s: %d shards, %q, %g/s a shard\n",
				w.Service, w.Unitization, w.Shards, w.Header, w.Rate)
		}
		fmt.Fprintf(&out, "  relays %s, %s as %s\n", client.Relays[0].Name, client.Relays[1].Name,
			identityOf(t, client.Certificates.Cert))
		registry(t, &out, filepath.Join(data, "registry", center+".yaml"))
		agrees(t, site, data, config)
	}
	golden := filepath.Join("testdata", "units.layout")
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != out.String() {
		t.Errorf("%v; got (go test -update writes it)\n%s", err, out.String())
	}
}

// registry appends what the agent reads.
func registry(t *testing.T, out *strings.Builder, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := vm.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	out.WriteString("registry\n")
	for _, s := range parsed.Services {
		fmt.Fprintf(out, "  %s:", s.Name)
		for _, i := range s.Instances {
			fmt.Fprintf(out, " %s(%s)", i.Name, i.Unit)
		}
		out.WriteString("\n")
	}
}

// agrees compares the addresses that different processes were told.
func agrees(t *testing.T, site *dev.Site, data string, config sample.ServerConfig) {
	t.Helper()
	agent := load[agents.Config](t, filepath.Join(data, "config", dev.AgentName(config.Center)+".yaml"))
	if len(config.Agents) != 1 || config.Agents[0].GRPC != agent.Listen.GRPC || agent.Listen.GRPC == "" {
		t.Errorf("%s: the agent serves %q, ledgers ask %v", config.Name, agent.Listen.GRPC, config.Agents)
	}
	for i, address := range site.Relays(config.Center) {
		if config.Relays[i].GRPC != address {
			t.Errorf("%s: relays %v, want %v", config.Name, config.Relays, site.Relays(config.Center))
		}
	}
	if config.Cluster != config.Center+"-vm" || config.Records != site.Records() {
		t.Errorf("%s: cluster %q, records %q", config.Name, config.Cluster, config.Records)
	}
	webhooks := map[string]string{}
	for _, s := range site.Stores() {
		for _, m := range s.Spec.Members {
			if m.Center == config.Center {
				webhooks[s.Name] = m.Webhook.URL
			}
		}
	}
	if len(webhooks) != len(config.Ledgers) {
		t.Errorf("%s: %d ledgers, %d members", config.Name, len(config.Ledgers), len(webhooks))
	}
	for _, l := range config.Ledgers {
		if webhooks[l.Store] != "http://"+l.Webhook || l.Dir != site.Ledger(l.Store, config.Center) {
			t.Errorf("%s: ledger %+v, webhook %s", config.Name, l, webhooks[l.Store])
		}
		for _, s := range config.Stores {
			for _, m := range s.Members {
				if s.Name == l.Store && m.Name == config.Center && m.GRPC != l.GRPC {
					t.Errorf("%s: ledger %+v is told to others as %s", config.Name, l, m.GRPC)
				}
			}
		}
	}
}

func TestTheUnitsThatAreDeclaredAreValid(t *testing.T) {
	site, _ := openUnits(t)
	unitizations := site.Unitizations()
	for _, u := range unitizations {
		v1alpha1.Default(u)
		for _, err := range v1alpha1.Validate(u) {
			t.Errorf("%s: %v", u.Name, err)
		}
	}
	for _, s := range site.Stores() {
		v1alpha1.Default(s)
		for _, err := range v1alpha1.Validate(s) {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if len(unitizations) != 2 || unitizations[0].Spec.Key.Function != v1alpha1.KeyLastDigits ||
		!slices.Equal(unitizations[0].Spec.Services[0].Reads, sample.Reads("orders")) ||
		unitizations[1].Spec.Services[0].Type != v1alpha1.UnitGlobal || unitizations[1].Spec.Key != nil {
		t.Errorf("%+v", unitizations)
	}
}

func TestEveryProcessKnowsTheCutsAndWhereEverybodyIs(t *testing.T) {
	site, _ := openUnits(t)
	lost := cut.Between{From: cut.Selector{Region: "hangzhou"}, To: cut.Selector{Region: "*"}}
	if err := site.Cut(lost); err != nil {
		t.Fatal(err)
	}
	in, err := site.AddInstance("sh-a", "orders", "visitor")
	if err != nil || in.Unit != "rz01" || in.Cell != "rz01.sh-a" {
		t.Fatalf("%+v, %v", in, err)
	}
	file := &cut.File{}
	if err := process.LoadConfig(site.CutFile(), file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cuts) != 1 || file.Cuts[0] != lost {
		t.Errorf("after an instance was added the cuts are %v", file.Cuts)
	}
	if at := file.Places[in.Listen]; at.Region != "shanghai" || at.Center != "sh-a" {
		t.Errorf("the new instance is at %v", at)
	}
	for _, name := range site.Supervisor().Names() {
		status, _ := site.Supervisor().Status(name)
		if !slices.Contains(status.Spec.Env, cut.Env+"="+site.CutFile()) {
			t.Errorf("%s follows no cuts: %v", name, status.Spec.Env)
		}
		for _, l := range status.Spec.Listeners {
			if file.Places[l.Address] != status.Spec.Place {
				t.Errorf("%s listens at %s, which is at %v", name, l.Address, file.Places[l.Address])
			}
		}
	}
	if err := site.Heal(); err != nil {
		t.Fatal(err)
	}
	file = &cut.File{}
	if err := process.LoadConfig(site.CutFile(), file); err != nil || len(file.Cuts) != 0 {
		t.Errorf("healed: %v, %v", file.Cuts, err)
	}
}
