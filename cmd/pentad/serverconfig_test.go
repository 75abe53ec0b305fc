package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// serverConfig is one of a server, right but for its certificates, which are missing.
const serverConfig = `name: hz-a
region: hangzhou
center: hz-a
dataDir: data
listen: {raft: "127.0.0.1:1", grpc: "127.0.0.1:2", api: "127.0.0.1:3", admin: "127.0.0.1:4"}
certificates: {cert: a.crt, key: a.key, ca: ca.crt}
raftCertificates: {cert: b.crt, key: b.key, ca: cb.crt}
apiClientCA: ca.crt
servers:
- {name: hz-a, region: hangzhou, center: hz-a, raft: "127.0.0.1:1", grpc: "127.0.0.1:2"}
- {name: hz-b, region: hangzhou, center: hz-b, raft: "127.0.0.1:5", grpc: "127.0.0.1:6"}
advertise: {raft: "127.0.0.1:1", grpc: "127.0.0.1:2", api: "127.0.0.1:3"}
deadAfter: 24h
electionTimeout: 500ms
roundTrip: 100ms
`

// TestEveryWrongFieldOfAServersFileIsNamed by the binary, with what is wrong with it: exit status 2, and nothing is made
// or changed.
func TestEveryWrongFieldOfAServersFileIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(t *testing.T, config string, says ...string) {
		t.Helper()
		file := filepath.Join(dir, "x.yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		before := contents(t, dir)
		cmd := exec.Command("pentad", "server", "--config", filepath.Base(file))
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("it ends with %v", err)
		}
		for _, want := range says {
			if !strings.Contains(string(out), want) {
				t.Errorf("it does not say %q, but\n%s", want, out)
			}
		}
		if after := contents(t, dir); after != before {
			t.Errorf("the folder had\n%s\nand has\n%s", before, after)
		}
	}
	edit := func(t *testing.T, pairs ...string) string {
		t.Helper()
		config := serverConfig
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(config, pairs[i]) {
				t.Fatalf("nothing to edit: %q", pairs[i])
			}
			config = strings.Replace(config, pairs[i], pairs[i+1], 1)
		}
		return config
	}
	t.Run("right but for its certificates", func(t *testing.T) { run(t, serverConfig, "certificates: ", "a.crt") })
	t.Run("unknown", func(t *testing.T) {
		run(t, edit(t, "region: hangzhou\ncenter", "regoin: hangzhou\ncenter", "admin:", "adnim:", "key: a.key", "keys: a.key",
			"grpc: \"127.0.0.1:6\"", "grcp: \"127.0.0.1:6\"", "advertise: {raft", "advertise: {rfat", "deadAfter", "dedAfter"),
			`unknown field "regoin"`, `unknown field "listen.adnim"`, `unknown field "certificates.keys"`, `unknown field "servers[1].grcp"`,
			`unknown field "advertise.rfat"`, `unknown field "dedAfter"`)
	})
	t.Run("twice", func(t *testing.T) { run(t, serverConfig+"region: shanghai\n", `"region" already set`) })
	t.Run("no YAML", func(t *testing.T) { run(t, "name: hz-a\n\tregion: x\n", "line 2") })
	t.Run("empty", func(t *testing.T) {
		run(t, "", "name: must not be empty", "region: must not be empty", "center: must not be empty", "dataDir: must not be empty",
			`listen.raft: "" is not host:port`, `listen.grpc: "" is`, `listen.api: "" is`, `listen.admin: "" is`, "certificates.cert",
			"certificates.key", "certificates.ca", "raftCertificates.cert", "raftCertificates.key", "raftCertificates.ca",
			"apiClientCA: must not be empty", "servers: must name this server")
	})
	t.Run("out of range", func(t *testing.T) {
		run(t, edit(t, `raft: "127.0.0.1:1", grpc: "127.0.0.1:2", api`, `raft: "127.0.0.1", grpc: ":2", api`, `name: hz-b, region: hangzhou`, `name: hz-a, region: ""`,
			`grpc: "127.0.0.1:6"`, `grpc: "127.0.0.1:2"`, `api: "127.0.0.1:3"}`+"\ndead", `api: "0.0.0.0:3"}`+"\ndead", "24h", "59s",
			"500ms", "2m", "roundTrip: 100ms", "roundTrip: -1s"),
			`listen.raft: "127.0.0.1" is not host:port`, `listen.grpc: ":2" is not host:port`, `servers[1].name: "hz-a" is there already`,
			"servers[1].region: must not be empty", `servers[1].grpc: "127.0.0.1:2" is servers[0].grpc already`,
			`advertise.api: must say where others reach this server: "0.0.0.0:3"`, "deadAfter: 59s is neither 0 (never) nor at least 1m",
			"electionTimeout: 2m0s is not between 50ms and 1m", "roundTrip: -1s is not above 0 and at most 5s")
	})
	t.Run("joins nobody", func(t *testing.T) {
		run(t, edit(t, `- {name: hz-b, region: hangzhou, center: hz-b, raft: "127.0.0.1:5", grpc: "127.0.0.1:6"}`, "join: {}"),
			`servers: must name another server than "hz-a"`, "join.tokenFile: must not be empty")
	})
	for field, wrong := range map[string][2]string{
		"name": {"name: hz-a\nregion", "name: [hz-a]\nregion"}, "dataDir": {"dataDir: data", "dataDir: 7"},
		"listen":          {`listen: {raft: "127.0.0.1:1", grpc: "127.0.0.1:2", api: "127.0.0.1:3", admin: "127.0.0.1:4"}`, `listen: "127.0.0.1:1"`},
		"certificates.ca": {"ca: ca.crt}", "ca: {file: ca.crt}}"}, "deadAfter": {"deadAfter: 24h", "deadAfter: a day"},
		"servers":         {`- {name: hz-a, region: hangzhou, center: hz-a, raft: "127.0.0.1:1", grpc: "127.0.0.1:2"}`, "- hz-a"},
		"electionTimeout": {"electionTimeout: 500ms", "electionTimeout: 500"},
	} {
		t.Run("type of "+field, func(t *testing.T) { run(t, edit(t, wrong[0], wrong[1]), field) })
	}
}

// contents are the files of a folder with what is in them.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", path, sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
