package server

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/process"
)

// waitsFor waits until a server says that it is not enrolled, and why.
func (e *estate) waitsFor(i int, want string) {
	e.t.Helper()
	comes(e.t, fmt.Sprintf("server %s waits for %q", e.configs[i].Name, want), func() error {
		if err := e.servers[i].ready(); err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("it says %w", err)
		}
		return nil
	})
}

func TestAPartialStartWaitsAndThenWorks(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 3)
	e.start(0)
	e.start(1)
	e.waitsFor(0, "server s3 (")
	e.waitsFor(1, "server s3 (")
	api := e.api(0, 5*time.Second)                                                // for so long it tries again
	comes(t, "refusal of a read at a server that is not enrolled", func() error { // it may not have heard of s2 for a moment
		_, err := api.Centers().List(t.Context(), metav1.ListOptions{})
		if err == nil {
			t.Fatal("a server that is not enrolled answers a read")
		}
		if !strings.Contains(err.Error(), "enrolled in no cluster yet: it waits for server s3") {
			return err
		}
		return nil
	})
	conn, err := grpc.NewClient(e.configs[0].Listen.GRPC,
		grpc.WithTransportCredentials(credentials.NewTLS(e.source(identity.RoleRelay, "hz-a-vm/relay").Client(identity.RoleServer))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := feedpb.NewFeedsClient(conn).Subscribe(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "enrolled in no cluster yet") {
		t.Errorf("a relay at a server that is not enrolled: %v", err)
	}
	for i := range 2 { // a restart between does no harm
		if e.servers[i].node.Folder().Cluster != "" {
			t.Errorf("server %d is enrolled without s3", i)
		}
		e.stop(i)
		e.start(i)
	}
	e.start(2)
	e.leader()
	c := e.operator(0, 1, 2)
	create(t, c.Centers(), center("hz-a", "hangzhou")) // a write when all are there
	e.roles(c, map[string]string{"s1": "voter", "s2": "voter", "s3": "voter"})
	comes(t, "the level", func() error {
		if level := e.servers[1].machine.Level(); level != intent.Level {
			return fmt.Errorf("it is %d", level)
		}
		return nil
	})
	cluster := e.servers[0].node.Folder().Cluster
	for i, s := range e.servers {
		if got := s.node.Folder(); got.Cluster != cluster || len(got.Roster) != 3 {
			t.Errorf("server %d is enrolled as %+v, the first in cluster %s", i, got, cluster)
		}
	}
	e.stop(0) // and one alone comes back without the others being asked
	e.start(0)
	comes(t, "ready", e.servers[0].ready)
}

func TestListsThatDifferAreRefusedByName(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 2)
	other := e.lay(2)
	e.configs[1].Servers = []Peer{e.configs[1].Servers[1], peerOf(other)}
	e.start(0)
	e.start(1)
	e.waitsFor(0, "server s2 to have the same list of servers: here [s1 at ")
	e.waitsFor(0, "there [s2 at ")
	if e.servers[0].node.Folder().Cluster != "" || e.servers[1].node.Folder().Cluster != "" {
		t.Error("a cluster began")
	}
	e.stop(1)
	e.configs[1].Servers = e.configs[0].Servers
	e.start(1)
	e.leader()
}

func TestServersOfAnotherClusterAreRefused(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 1)
	e.leader()
	foreign := e.lay(1)
	foreign.Servers = []Peer{peerOf(foreign)}
	i := e.add(foreign)
	e.start(i)
	comes(t, "the other cluster", e.servers[i].ready)
	e.stop(i)
	e.configs[i].Servers = append([]Peer{peerOf(e.configs[0])}, foreign.Servers...) // a mistake
	e.start(i)
	own, theirs := e.servers[0].node.Folder().Cluster, e.servers[i].node.Folder().Cluster
	conn, err := grpc.NewClient(e.configs[0].Listen.GRPC,
		grpc.WithTransportCredentials(credentials.NewTLS(e.source(identity.RoleServer, "s2").Client(identity.RoleServer))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), clusterHeader, theirs)
	_, err = intentpb.NewIntentClient(conn).ReadRevision(ctx, &intentpb.ReadRevisionRequest{})
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "s2 is of cluster "+theirs) || !strings.Contains(err.Error(), own) {
		t.Errorf("a call of another cluster: %v", err)
	}
	stream, err := feedpb.NewFeedsClient(conn).Subscribe(ctx)
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "they are not of one estate") {
		t.Errorf("a stream of another cluster: %v", err)
	}
	third := e.lay(2) // fresh, and named both
	third.Servers = append(e.configs[i].Servers, peerOf(third))
	j := e.add(third)
	comes(t, "end of a server between two clusters that hears both", func() error {
		e.start(j)
		err := e.ended(j)
		if !usage(err) {
			t.Fatalf("a server between two clusters ends with: %v", err)
		}
		if strings.Contains(err.Error(), "is not known to cluster") { // it has heard one alone: the other was busy
			return err
		}
		if !strings.Contains(err.Error(), "are of different clusters: s1 of cluster") &&
			!strings.Contains(err.Error(), "are of different clusters: s2 of cluster") {
			t.Fatalf("a server between two clusters ends with: %v", err)
		}
		return nil
	})
}

func TestADataFolderOfSomebodyElseIsRefused(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 1)
	e.leader()
	e.stop(0)
	other := e.lay(1)
	other.Servers = []Peer{peerOf(other)}
	other.DataDir = e.configs[0].DataDir
	before := files(t, other.DataDir)
	refused := func(want string) {
		t.Helper()
		var usage *process.UsageError
		if _, err := New(other, slog.New(slog.DiscardHandler)); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("it starts with: %v; want %q", err, want)
		}
	}
	refused(`belongs to "server s1", not to "server s2"`)
	if after := files(t, other.DataDir); after != before {
		t.Errorf("the folder has\n%s\nit had\n%s", after, before)
	}
	other.DataDir = t.TempDir() // with the log of s1 alone
	if err := os.CopyFS(filepath.Join(other.DataDir, "raft"), os.DirFS(filepath.Join(e.configs[0].DataDir, "raft"))); err != nil {
		t.Fatal(err)
	}
	refused("data folder cannot be used")
	e.start(0)
	e.leader()
}

// files are what a folder holds, with sizes.
func files(t *testing.T, dir string) string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, err := d.Info()
			if err != nil {
				return err
			}
			list = append(list, fmt.Sprint(path, info.Size(), info.ModTime()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

func TestEveryWrongFieldOfAConfigurationIsNamed(t *testing.T) {
	good := func() Config {
		files := identity.Files{Cert: "a", Key: "b", CA: "c"}
		c := Config{
			Name: "s1", Place: process.Place{Region: "r1", Center: "c1"}, DataDir: "d",
			Listen:       Listen{Raft: "10.0.0.1:1", GRPC: "10.0.0.1:2", API: "10.0.0.1:3", Admin: "127.0.0.1:4"},
			Certificates: files, RaftCertificates: files, APIClientCA: "c",
		}
		c.Servers = []Peer{peerOf(c), {Name: "s2", Place: c.Place, Raft: "10.0.0.2:1", GRPC: "10.0.0.2:2"}}
		return c
	}
	if c := good(); c.Validate() != nil {
		t.Fatalf("a good one: %v", c.Validate())
	}
	joins := good()
	joins.Name, joins.Join = "s3", &Join{TokenFile: "t"}
	if err := joins.Validate(); err != nil {
		t.Errorf("a good one that joins: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"name: must not be empty":                                             func(c *Config) { c.Name = "" },
		"region: must not be empty":                                           func(c *Config) { c.Region = "" },
		"center: must not be empty":                                           func(c *Config) { c.Center = "" },
		"dataDir: must not be empty":                                          func(c *Config) { c.DataDir = "" },
		`listen.raft: "x" is not host:port`:                                   func(c *Config) { c.Listen.Raft = "x" },
		`listen.grpc: "" is not host:port`:                                    func(c *Config) { c.Listen.GRPC = "" },
		`listen.api: ":1" is not host:port`:                                   func(c *Config) { c.Listen.API = ":1" },
		`listen.admin: "" is not host:port`:                                   func(c *Config) { c.Listen.Admin = "" },
		"certificates.cert":                                                   func(c *Config) { c.Certificates.Cert = "" },
		"raftCertificates.key":                                                func(c *Config) { c.RaftCertificates.Key = "" },
		"apiClientCA: must not be empty":                                      func(c *Config) { c.APIClientCA = "" },
		`servers: must name this server, "s9"`:                                func(c *Config) { c.Name = "s9" },
		`servers: must name this server, "s1"`:                                func(c *Config) { c.Servers = nil },
		"servers: must name those to join":                                    func(c *Config) { c.Servers, c.Join = nil, &Join{TokenFile: "t"} },
		`servers: must name another server than "s1"`:                         func(c *Config) { c.Servers, c.Join = c.Servers[:1], &Join{TokenFile: "t"} },
		"servers[1].name: must not be empty":                                  func(c *Config) { c.Servers[1].Name = "" },
		`servers[1].name: "s1" is there already`:                              func(c *Config) { c.Servers[1].Name = "s1" },
		"servers[1].region: must not be empty":                                func(c *Config) { c.Servers[1].Region = "" },
		`servers[1].raft: "x" is not host:port`:                               func(c *Config) { c.Servers[1].Raft = "x" },
		`servers[1].grpc: "10.0.0.1:2" is servers[0].grpc already`:            func(c *Config) { c.Servers[1].GRPC = "10.0.0.1:2" },
		"join.tokenFile: must not be empty":                                   func(c *Config) { c.Join = &Join{} },
		`advertise.raft: "x" is not host:port`:                                func(c *Config) { c.Advertise.Raft = "x" },
		`advertise.api: must say where others reach this server: "0.0.0.0:3"`: func(c *Config) { c.Listen.API = "0.0.0.0:3" },
		`advertise.grpc: must say where others reach this server: "[::]:2"`:   func(c *Config) { c.Servers[0].GRPC = "[::]:2" },
		"deadAfter: 1s is neither 0 (never) nor at least 1m":                  func(c *Config) { c.DeadAfter = &metav1.Duration{Duration: time.Second} },
		"roundTrip: 0s is not above 0 and at most 5s":                         func(c *Config) { c.RoundTrip = &metav1.Duration{} },
		"audit.maxMegabytes: 0 is not between 1 and 10240":                    func(c *Config) { c.Audit.MaxMegabytes = new(0) },
		"audit.keepFiles: 1001 is not between 1 and 1000":                     func(c *Config) { c.Audit.KeepFiles = new(1001) },
		"audit.keepDays: -1 is not between 1 and 36600":                       func(c *Config) { c.Audit.KeepDays = new(-1) },
		"electionTimeout: 1ms is not between":                                 func(c *Config) { c.ElectionTimeout = &metav1.Duration{Duration: time.Millisecond} },
	} {
		c := good()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
