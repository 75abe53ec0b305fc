package identity_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
)

const domain = "pentad.test"

func issue(t *testing.T, a *ca.Authority, id identity.ID) (identity.Files, *identity.Source) {
	t.Helper()
	dir := t.TempDir()
	files := identity.Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "ca.crt")}
	if err := a.Issue(ca.Request{ID: id, Hosts: []string{"127.0.0.1", "localhost"}, Validity: time.Hour}, files); err != nil {
		t.Fatal(err)
	}
	source, err := identity.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return files, source
}

func authority(t *testing.T) *ca.Authority {
	t.Helper()
	a, err := ca.Open(t.TempDir(), domain, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// handshake returns both sides' errors.
func handshake(server, client *tls.Config) (serverErr, clientErr error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(a, server)
		err := conn.Handshake()
		if err == nil {
			_, err = io.WriteString(conn, "x")
		}
		a.Close()
		done <- err
	}()
	conn := tls.Client(b, client)
	if clientErr = conn.Handshake(); clientErr == nil {
		_, clientErr = conn.Read(make([]byte, 1))
	}
	b.Close()
	return <-done, clientErr
}

func TestOnlyTheNamedRolesOfThisTrustDomainAreTaken(t *testing.T) {
	a := authority(t)
	_, server := issue(t, a, identity.ID{TrustDomain: domain, Role: identity.RoleServer, Name: "hz-a"})
	_, agent := issue(t, a, identity.ID{TrustDomain: domain, Role: identity.RoleAgent, Name: "hz-a-vm"})
	_, workload := issue(t, a, identity.ID{TrustDomain: domain, Role: identity.RoleWorkload, Name: "orders"})
	_, stranger := issue(t, authority(t), identity.ID{TrustDomain: domain, Role: identity.RoleAgent, Name: "hz-a-vm"})

	listen := server.Server(identity.RoleAgent, identity.RoleRelay)
	if s, c := handshake(listen, agent.Client(identity.RoleServer)); s != nil || c != nil {
		t.Errorf("an agent at a server: %v, %v", s, c)
	}
	if s, _ := handshake(listen, workload.Client(identity.RoleServer)); s == nil || !strings.Contains(s.Error(), `role "workload"`) {
		t.Errorf("a workload was taken where agents and relays are: %v", s)
	}
	if s, _ := handshake(listen, stranger.Client(identity.RoleServer)); s == nil {
		t.Error("a certificate of another authority was taken")
	}
	if _, c := handshake(listen, agent.Client(identity.RoleRelay)); c == nil {
		t.Error("a client that wants a relay took a server")
	}
	if s, _ := handshake(listen, &tls.Config{InsecureSkipVerify: true}); s == nil {
		t.Error("a caller without certificate was taken")
	}
}

func TestParseRefusesWhatIsNoIdentityOfTheEstate(t *testing.T) {
	for name, want := range map[identity.ID]string{
		{TrustDomain: domain, Role: "admin", Name: "x"}:     `role "admin"`,
		{TrustDomain: domain, Role: "server", Name: "a b"}:  "path segment",
		{TrustDomain: "UPPER", Role: "server", Name: "x"}:   "trust domain",
		{TrustDomain: domain, Role: "relay", Name: "c//r1"}: "",
	} {
		spiffe, err := name.SPIFFE()
		if err == nil {
			_, err = identity.Parse(spiffe)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v does not name %q", name, err, want)
		}
	}
	relay := identity.ID{TrustDomain: domain, Role: identity.RoleRelay, Name: "hz-a-vm/relay-1"}
	spiffe, err := relay.SPIFFE()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := identity.Parse(spiffe); err != nil || got != relay || got.Cluster() != "hz-a-vm" {
		t.Errorf("round trip of %v: %v, %v, cluster %q", relay, got, err, got.Cluster())
	}
}

// written has the certificate written so long after it is: a file system may give two writes within milliseconds the
// same time, by which a Source knows that there is something new.
func written(t *testing.T, files identity.Files, later time.Duration) {
	t.Helper()
	at := time.Now().Add(later)
	if err := os.Chtimes(files.Cert, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestRotationIsTakenAndAWrongOneIsNot(t *testing.T) {
	a := authority(t)
	id := identity.ID{TrustDomain: domain, Role: identity.RoleAgent, Name: "hz-a-vm"}
	files, source := issue(t, a, id)
	before, _ := source.GetX509SVID()

	if err := os.WriteFile(files.Cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	written(t, files, time.Second)
	if _, err := source.Reload(); err == nil {
		t.Error("a half-written certificate was taken")
	}
	other := identity.ID{TrustDomain: domain, Role: identity.RoleServer, Name: "hz-a"}
	if err := a.Issue(ca.Request{ID: other, Validity: time.Hour}, files); err != nil {
		t.Fatal(err)
	}
	written(t, files, 2*time.Second)
	if _, err := source.Reload(); err == nil {
		t.Error("a certificate of somebody else was taken")
	}
	if now, _ := source.GetX509SVID(); now != before {
		t.Error("the last good certificate did not stay in force")
	}
	if err := a.Issue(ca.Request{ID: id, Validity: time.Hour}, files); err != nil {
		t.Fatal(err)
	}
	written(t, files, 3*time.Second)
	if changed, err := source.Reload(); err != nil || !changed {
		t.Errorf("rotation not taken: %v, %v", changed, err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	_, source := issue(t, authority(t), identity.ID{TrustDomain: domain, Role: identity.RoleAgent, Name: "x"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := source.Run(ctx, slog.New(slog.DiscardHandler)); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAuthorityIsKept(t *testing.T) {
	dir := t.TempDir()
	first, err := ca.Open(dir, domain, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ca.Open(dir, domain, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, server := issue(t, first, identity.ID{TrustDomain: domain, Role: identity.RoleServer, Name: "a"})
	_, agent := issue(t, second, identity.ID{TrustDomain: domain, Role: identity.RoleAgent, Name: "b"})
	if s, c := handshake(server.Server(identity.RoleAgent), agent.Client(identity.RoleServer)); s != nil || c != nil {
		t.Errorf("the authority read again signs for somebody else: %v, %v", s, c)
	}
	if _, err := ca.Open(dir, "other.test", time.Hour); err == nil || !strings.Contains(err.Error(), "other.test") {
		t.Errorf("an authority of another trust domain was taken: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Open(dir, domain, time.Hour); err == nil {
		t.Error("an authority without its key was silently made anew")
	}
}
