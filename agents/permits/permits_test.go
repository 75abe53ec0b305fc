package permits

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// soon bounds what happens within milliseconds but for a busy machine.
const soon = 2 * time.Minute

var quiet = slog.New(slog.DiscardHandler)

// site is an authority, a federation server that grants, and an agent's hop.
type site struct {
	t         *testing.T
	dir       string
	authority *ca.Authority
	hop       *Hop
	address   string

	mu     sync.Mutex
	opened []*permitpb.Open
}

func newSite(t *testing.T, broken breakage) *site {
	s := &site{t: t, dir: t.TempDir()}
	var err error
	s.authority, err = ca.Open(filepath.Join(s.dir, "ca"), "pentad.test", time.Hour)
	check(t, err)
	upstream := s.serveServer()
	agent := s.identity(identity.RoleAgent, "vm-hz-a")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s.address = listener.Addr().String()
	s.hop, err = New(Config{
		Cluster: "vm-hz-a", Center: "hz-a", Listener: listener, TLS: agent.Server(identity.RoleWorkload), Log: quiet,
		Servers: []stream.Peer{{Name: "hz-a", Address: upstream, TLS: agent.Client(identity.RoleServer)}}, broken: broken,
	})
	check(t, err)
	s.run(s.hop.Run)
	return s
}

func (s *site) run(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	s.t.Cleanup(func() { cancel(); check(s.t, <-done) })
}

func (s *site) identity(role identity.Role, name string) *identity.Source {
	s.t.Helper()
	base := filepath.Join(s.dir, string(role)+"-"+strings.ReplaceAll(name, "/", "-"))
	files := identity.Files{Cert: base + ".crt", Key: base + ".key", CA: filepath.Join(s.dir, "ca.pem")}
	check(s.t, s.authority.Issue(ca.Request{
		ID:    identity.ID{TrustDomain: "pentad.test", Role: role, Name: name},
		Hosts: []string{"127.0.0.1"}, Validity: time.Hour,
	}, files))
	source, err := identity.Load(files)
	check(s.t, err)
	return source
}

// serveServer is a federation server that lets hz-a be the primary of both stores.
func (s *site) serveServer() string {
	service, err := stream.NewServer(stream.ServerConfig{
		Grantor: s, Authorize: func(context.Context, *permitpb.Open) error { return nil },
	})
	check(s.t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(s.t, err)
	server := grpc.NewServer(append(stream.ServerOptions(),
		grpc.Creds(credentials.NewTLS(s.identity(identity.RoleServer, "hz-a").Server(identity.RoleAgent))))...)
	permitpb.RegisterPermitsServer(server, service)
	go server.Serve(listener)
	s.t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// Open is permit.Grantor's.
func (s *site) Open(_ context.Context, open *permitpb.Open) (permit.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = append(s.opened, open)
	return granting{}, nil
}

type granting struct{}

func (granting) Answer(_ context.Context, ask *permitpb.Ask) (*permitpb.Answer, error) {
	stores := []*permitpb.StorePermit{
		{Store: "orders-rz01", Primary: "hz-a", Token: 7}, {Store: "orders-rz02", Primary: "hz-a", Token: 8},
	}
	return &permitpb.Answer{Number: ask.GetNumber(), Revision: 5, HoldsNs: int64(5 * time.Second), Stores: stores}, nil
}

func (granting) Hints() <-chan struct{} { return nil }
func (granting) Close()                 {}

// store is a member that asks.
type store struct {
	mu  sync.Mutex
	got *permit.Permit
}

func (h *store) Granted(p *permit.Permit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = p
}
func (h *store) Closed() []uint64 { return nil }
func (h *store) Rendered() uint64 { return 0 }

// held is the token under which a store may accept, by what the member is granted.
func (s *site) held(role identity.Role, name, wanted, center string) uint64 {
	s.t.Helper()
	token, err := s.asks(role, name, wanted, center, func(error, time.Duration) bool { return false })
	check(s.t, err)
	return token
}

// refused checks that the member is granted nothing, for a while.
func (s *site) refused(role identity.Role, name, wanted, center string) {
	s.t.Helper()
	token, err := s.asks(role, name, wanted, center, func(err error, after time.Duration) bool {
		return err != nil && after > time.Second
	})
	if err == nil {
		s.t.Errorf("%s %s holds %s of %s with token %d", role, name, wanted, center, token)
	}
}

// asks asks until the member is granted something, or enough says so of the client's error and of how long it asked.
func (s *site) asks(
	role identity.Role, name, wanted, center string, enough func(error, time.Duration) bool,
) (token uint64, err error) {
	s.t.Helper()
	h := &store{}
	client, err := stream.NewClient(stream.ClientConfig{
		Peers: []stream.Peer{{Name: "agent", Address: s.address, TLS: s.identity(role, name).Client(identity.RoleAgent)}},
		Open: &permitpb.Open{
			Holder: permitpb.Holder_HOLDER_STORE, Name: "x", Center: center, Stores: []string{wanted},
		},
		Holder: h,
	})
	check(s.t, err)
	s.run(client.Run)
	for began := time.Now(); time.Since(began) < soon; time.Sleep(5 * time.Millisecond) {
		h.mu.Lock()
		got := h.got
		h.mu.Unlock()
		if got.Left(permit.SystemClock().Now()) > 0 {
			if len(got.Stores) != 1 || got.Stores[0].GetStore() != wanted {
				s.t.Errorf("granted %v, asked for %s", got.Stores, wanted)
			}
			return got.Stores[0].GetToken(), nil
		}
		if st := client.Status(); st.Error != "" {
			err = errors.New(st.Error)
		}
		if enough(err, time.Since(began)) {
			return 0, err
		}
	}
	return 0, fmt.Errorf("nothing within %s: %w", soon, err)
}

func TestAStoreHoldsWhatItsCertificateNames(t *testing.T) {
	s := newSite(t, breakage{})
	token := s.held(identity.RoleWorkload, StoreIdentity("orders-rz01", "hz-a"), "orders-rz01", "hz-a")
	if token != 7 {
		t.Errorf("got token %d, want 7", token)
	}
	s.mu.Lock()
	o := s.opened[0]
	if o.GetHolder() != permitpb.Holder_HOLDER_AGENT || o.GetCluster() != "vm-hz-a" || o.GetSession() == "" {
		t.Errorf("the agent's own session is %v", o)
	}
	s.mu.Unlock()
	good := func(st Status) bool { return st.Hop.Revision == 5 && st.Hop.Holders == 1 && st.Session.Peer == "hz-a" }
	for began := time.Now(); !good(s.hop.Status()); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > soon {
			t.Fatalf("status %+v", s.hop.Status())
		}
	}
	for _, wrong := range []struct{ role, name, store, center string }{
		{"workload", StoreIdentity("orders-rz01", "hz-a"), "orders-rz02", "hz-a"},
		{"workload", StoreIdentity("orders-rz01", "sh-a"), "orders-rz01", "sh-a"},
		{"workload", StoreIdentity("orders-rz01", "sh-a"), "orders-rz01", "hz-a"},
		{"workload", "cell/rz01.hz-a", "orders-rz01", "hz-a"},
		{"relay", "vm-hz-a/relay-1", "orders-rz01", "hz-a"},
	} {
		s.refused(identity.Role(wrong.role), wrong.name, wrong.store, wrong.center)
	}
}

func TestTheCheckOfCertificatesIsTested(t *testing.T) {
	s := newSite(t, breakage{anyStore: true})
	if got := s.held(identity.RoleWorkload, StoreIdentity("orders-rz01", "hz-a"), "orders-rz02", "hz-a"); got != 8 {
		t.Errorf("without the check: token %d, want 8", got)
	}
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
