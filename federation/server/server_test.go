package server

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/process"
)

func center(name, region string) *v1alpha1.Center {
	return &v1alpha1.Center{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.CenterSpec{Region: region}}
}

func TestIntentIsWrittenAndReadAtEveryServerAndSurvivesTheLeader(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 3)
	leader := e.leader()
	follower := (leader + 1) % 3
	created := create(t, e.api(follower, patient).Centers(), center("hz-a", "hangzhou"))
	if created.UID == "" || created.Generation != 1 || created.Status.ObservedGeneration != 1 {
		t.Errorf("created through a follower: %+v", created)
	}
	for i := range 3 {
		got, err := e.api(i, patient).Centers().Get(t.Context(), "hz-a", metav1.GetOptions{})
		if err != nil || got.ResourceVersion != created.ResourceVersion {
			t.Errorf("read at server %d right after the write: %v, %v", i, got, err)
		}
	}

	e.stop(leader)
	create(t, e.api(follower, patient).Centers(), center("hz-b", "hangzhou")) // a write with two of three servers
	e.start(leader)
	e.leader()
	if got, err := e.api(leader, patient).Centers().List(t.Context(), metav1.ListOptions{}); err != nil || len(got.Items) != 2 {
		t.Errorf("the server that came back: %v, %v", got, err)
	}
}

func TestWithoutAQuorumAWriteIsRefusedAndAStaleReadIsNamed(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 3)
	leader := e.leader()
	create(t, e.api(leader, patient).Centers(), center("hz-a", "hangzhou"))
	last := (leader + 1) % 3
	e.stop(leader)
	e.stop((leader + 2) % 3)
	for e.servers[last].vacancy.lasts() <= e.servers[last].backend.patience {
		time.Sleep(50 * time.Millisecond)
	}
	api := e.api(last, 3*time.Second) // for so long it tries again
	says := func(what, want string, do func() error) {
		t.Helper()
		comes(t, what, func() error { // a machine that is too busy to answer in that time says nothing
			err := do()
			if err == nil {
				t.Fatalf("%s: done", what)
			}
			if !strings.Contains(err.Error(), want) {
				return fmt.Errorf("does not say %q: %w", want, err)
			}
			return nil
		})
	}
	says("a write without a quorum", "quorum", func() error {
		_, err := api.Centers().Create(t.Context(), center("hz-b", "hangzhou"), metav1.CreateOptions{})
		return err
	})
	says("a read without a quorum, which must name the stale read", "resourceVersion=0", func() error {
		_, err := api.Centers().Get(t.Context(), "hz-a", metav1.GetOptions{})
		return err
	})
	if got, err := e.api(last, patient).Centers().List(t.Context(), metav1.ListOptions{ResourceVersion: "0"}); err != nil || len(got.Items) != 1 {
		t.Errorf("a stale read without a quorum: %v, %v", got, err)
	}
}

func TestAnAgentPublishesItsOwnFeedsAlone(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 1)
	set, err := feed.OpenSet("", feed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	service := &modelpb.Service{Name: "orders", Ports: []*modelpb.Port{{Name: "grpc", Number: 9000}}}
	value, err := model.Encode(service)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []feed.ID{"mine/static", "theirs/static"} {
		if _, err := set.Log(id).Begin(1<<50, []feed.Change{{Kind: model.KindService, Key: "orders", Value: value}}); err != nil {
			t.Fatal(err)
		}
	}
	publisher, err := feed.NewPublisher(feed.PublisherConfig{
		Set: set, OnAhead: func(feed.ID, feed.Position) {},
		One: []feed.Peer{{Name: "s1", Address: e.configs[0].Listen.GRPC, TLS: e.source(identity.RoleAgent, "mine").Client(identity.RoleServer)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = publisher.Run(t.Context()) }()

	feeds := e.servers[0].feeds
	for deadline := time.Now().Add(patient); ; time.Sleep(10 * time.Millisecond) {
		if l, ok := feeds.Get("mine/static"); ok && l.Len() == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the agent's own feed did not arrive: %+v", publisher.Status())
		}
	}
	eventually(t, "refusal of another cluster's feed", patient, func() bool {
		return slices.ContainsFunc(publisher.Status(), func(p feed.PeerStatus) bool {
			return slices.ContainsFunc(p.Feeds, func(f feed.PeerFeed) bool { return f.ID == "theirs/static" && f.Refused != "" })
		})
	})
	if l, ok := feeds.Get("theirs/static"); ok && l.Len() > 0 {
		t.Error("an agent wrote another cluster's feed")
	}
}

func TestOnlyServersForwardWrites(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 1)
	for _, role := range []identity.Role{identity.RoleAgent, identity.RoleRelay} {
		conn, err := grpc.NewClient(e.configs[0].Listen.GRPC,
			grpc.WithTransportCredentials(credentials.NewTLS(e.source(role, "hz-a-vm").Client(identity.RoleServer))))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = intentpb.NewIntentClient(conn).Propose(t.Context(), &intentpb.ProposeRequest{}, grpc.WaitForReady(true))
		if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "only servers may") {
			t.Errorf("%s forwarded a write: %v", role, err)
		}
	}
}

func TestACertificateOfSomebodyElseIsRefused(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 1)
	config := e.configs[0]
	config.Name, config.DataDir = "s2", t.TempDir()
	_, err := New(config, slog.New(slog.DiscardHandler))
	var usage *process.UsageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "certificates.cert") {
		t.Errorf("started with the certificate of s1: %v", err)
	}
}

// TestCertificatesThatOthersWouldRefuseAreRefused before anything is made.
func TestCertificatesThatOthersWouldRefuseAreRefused(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 1)
	nothing := filepath.Join(t.TempDir(), "nothing.pem")
	check(t, os.WriteFile(nothing, []byte("no certificate\n"), 0o600))
	for want, change := range map[string]func(*Config){
		"raftCertificates: certificate ":                        func(c *Config) { c.RaftCertificates.CA = c.Certificates.CA },
		"is vouched for by no authority in ":                    func(c *Config) { c.Certificates.CA = c.RaftCertificates.CA },
		"apiClientCA: " + nothing + " holds no certificate":     func(c *Config) { c.APIClientCA = nothing },
		"apiClientCA: open " + nothing + "2: no such file or d": func(c *Config) { c.APIClientCA = nothing + "2" },
	} {
		config := e.configs[0]
		config.DataDir = filepath.Join(t.TempDir(), "none")
		change(&config)
		if _, err := New(config, slog.New(slog.DiscardHandler)); !usage(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := os.Lstat(config.DataDir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the data folder was made: %v", want, err)
		}
	}
}

func TestACertificateThatIsNotInForceIsRefused(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 1)
	config := e.configs[0]
	config.DataDir = filepath.Join(t.TempDir(), "none")
	id := identity.ID{TrustDomain: trustDomain, Role: identity.RoleServer, Name: "s1"}
	check(t, e.raft.Issue(ca.Request{ID: id, Hosts: []string{"127.0.0.1"}, Validity: time.Millisecond}, config.RaftCertificates))
	time.Sleep(1500 * time.Millisecond) // certificates count in seconds
	_, err := New(config, slog.New(slog.DiscardHandler))
	var usage *process.UsageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "raftCertificates.cert: certificate "+config.RaftCertificates.Cert+" is good from ") ||
		!strings.Contains(err.Error(), "renew it, or set the clock") {
		t.Errorf("started with a certificate that has ended: %v", err)
	}
	if _, err := os.Lstat(config.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data folder was made: %v", err)
	}
	source := e.source(identity.RoleServer, "s1")
	for by, want := range map[time.Duration]string{time.Minute: "", 365 * 24 * time.Hour: "clock says", -365 * 24 * time.Hour: "clock says"} {
		if err := source.InForce(time.Now().Add(by)); (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("with a clock that is %s off: %v", by, err)
		}
	}
}
