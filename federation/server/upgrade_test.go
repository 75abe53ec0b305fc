package server

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// old makes a server one of a build that knows less, which tells a test why it ends instead of ending the process.
func (e *estate) old(i int, level uint32) *fatal {
	died := &fatal{}
	e.configs[i].adjust.Intent = func(c *intent.Config) { c.Level = level }
	e.configs[i].adjust.Consensus = func(c *consensus.Config) { c.Fatal, c.DiskTimeout = died.set, patient }
	return died
}

type fatal struct {
	mu  sync.Mutex
	err error
}

func (f *fatal) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fatal) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// wait is for the error of a server that has ended: it says so while it ends.
func (f *fatal) wait(t *testing.T) error {
	t.Helper()
	eventually(t, "reason for the end", patient, func() bool { return f.get() != nil })
	return f.get()
}

func (e *estate) createEstate(c *client.Client) error {
	estate := &v1alpha1.Estate{ObjectMeta: metav1.ObjectMeta{Name: "estate"}}
	_, err := c.Estates().Create(e.t.Context(), estate, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) { // by an attempt of which that was unknown
		return nil
	}
	return err
}

func TestARollingUpgradeGoesOnUnderLoad(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 3)
	for i := range 3 {
		e.old(i, 1)
		e.start(i)
	}
	e.leader()
	c := e.operator(0, 1, 2)
	check := e.load(c, 2)
	for i := range 3 {
		err := e.createEstate(c)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "level 2") {
			t.Fatalf("with %d servers upgraded, a kind of level 2: %v", i, err)
		}
		t.Logf("with %d upgraded: %v", i, err)
		e.stop(i)
		e.configs[i].adjust = e.adjust(e.configs[i].Name, false)
		e.start(i)
		comes(t, "ready", e.servers[i].ready)
		comes(t, "its announcement", func() error {
			members, err := c.Members(t.Context())
			if err != nil {
				return err
			}
			if at := slices.IndexFunc(members.Members, func(m client.Member) bool { return m.Name == e.configs[i].Name }); at < 0 ||
				members.Members[at].Level != intent.Level {
				return fmt.Errorf("members are %+v", members.Members)
			}
			return nil
		})
	}
	comes(t, "level 2", func() error { return e.createEstate(c) })
	check()

	// An old build cannot come back: it stops at what it does not know, loudly, and the others go on.
	e.stop(2)
	died := e.old(2, 1)
	e.start(2)
	if err := e.ended(2); err == nil || died.wait(t) == nil || !strings.Contains(died.get().Error(), "this server knows up to 1") ||
		!strings.Contains(died.get().Error(), "it must run the version of Pentad that the others run") {
		t.Errorf("an old build comes back: it ends with %v, %v", err, died.get())
	}
	create(t, c.Centers(), center("after", "r1")) // a write without it
}

// TestWithoutTheGateAnOldServerStops is the bug planted: commands go into the log that not all servers know.
func TestWithoutTheGateAnOldServerStops(t *testing.T) {
	t.Parallel()
	for _, gated := range []bool{true, false} {
		e := layEstate(t, 3)
		died := e.old(0, 1)
		for i := range 3 {
			if i > 0 {
				e.configs[i].adjust.Careless.Ungated = !gated
			}
			e.start(i)
		}
		e.leader()
		c := e.operator(1, 2)
		var result intent.Result
		comes(t, "answer of s2 as the leader that knows all", func() error { // a busy machine may elect another one meanwhile
			if n := len(e.servers[1].machine.Servers()); n != 3 || !e.servers[1].node.IsLeader() {
				return errors.Join(fmt.Errorf("%d servers are known", n), c.TransferLeadership(t.Context(), "s2"))
			}
			data, err := intent.Encode(&intentpb.Command{
				Id: newID(), ProposedAtUnixMs: time.Now().UnixMilli(), Operation: &intentpb.Command_SetLiveness{SetLiveness: &intentpb.SetLiveness{
					Clusters: []*intentpb.ClusterLiveness{{Cluster: "k", Uid: "4f1f8a0c-6ed4-4ad0-9d51-a1e9b9d3f3a1", Expired: true}},
				}},
			})
			check(t, err)
			answer, err := e.servers[1].backend.propose(t.Context(), data)
			if err != nil {
				return err
			}
			result, err = intent.DecodeResult(answer)
			return err
		})
		if gated {
			if result.OK || !strings.Contains(result.Errors().ToAggregate().Error(), "server s1 knows 1") {
				t.Errorf("proposed beside an old server: %+v", result)
			}
			if died.get() != nil {
				t.Errorf("the old server stopped: %v", died.get())
			}
			continue
		}
		if err := e.ended(0); err == nil || died.wait(t) == nil || !strings.Contains(died.get().Error(), "this server knows up to 1") {
			t.Errorf("not found: the old server ends with %v", err)
		}
		t.Logf("without the gate: %.200s", died.get())
	}
}

func TestALeaderHandsOverBeforeItStops(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 3)
	var said bytes.Buffer
	var mu sync.Mutex
	e.log = slog.New(slog.NewTextHandler(locked{&mu, &said}, nil))
	for i := range e.configs {
		e.start(i)
	}
	machine := hinders(t)
	comes(t, "stop of a leader", func() error {
		leader := e.leader()
		comes(t, "all voters to answer", func() error {
			for _, m := range e.servers[leader].node.Members() {
				if m.LastHeard < 0 && e.servers[leader].node.IsLeader() {
					return fmt.Errorf("%s was not heard of", m.ID)
				}
			}
			return nil
		})
		mu.Lock()
		said.Reset()
		mu.Unlock()
		told := time.Now()
		e.stop(leader)
		lost := machine.lost(told, time.Now())
		mu.Lock()
		defer mu.Unlock()
		switch all := said.String(); {
		case strings.Contains(all, "leadership was handed over before the stop"):
			return nil
		case strings.Contains(all, "leadership was not handed over before the stop") && lost < handOverWithin/4:
			t.Fatalf("the leader stopped with its office:\n%s", all)
		}
		e.start(leader)
		return fmt.Errorf("%s had lost its office before, or had no time: the machine took %s", e.configs[leader].Name, lost)
	})
}

type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
