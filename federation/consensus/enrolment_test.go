package consensus

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"pentad.dev/pentad/process/loopback"
)

// content returns what a power cut now would leave.
func (m *memFS) content() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]string{}
	for name, f := range m.files {
		all[name] = string(f.now)
	}
	return all
}

// newFolderNode returns a node that was never run, with a new folder.
func newFolderNode(t *testing.T, id string, vfs FS, p plants) *Node {
	t.Helper()
	cfg := soloConfig(t, "data")
	cfg.ID, cfg.FS, cfg.BootstrapAlone, cfg.break_ = id, vfs, false, p
	cfg.Voters[0].ID = id
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFolderHasAnIdForLife(t *testing.T) {
	vfs := newMemFS()
	n := newFolderNode(t, "n1", vfs, plants{})
	made := n.Folder()
	if checkUUID(made.ID) != nil || made.Cluster != "" || made.Roster != nil || !made.Empty {
		t.Errorf("a new folder is %+v", made)
	}
	n.Close()
	n = newFolderNode(t, "n1", vfs, plants{})
	if again := n.Folder(); again.ID != made.ID {
		t.Errorf("its id became %s, was %s", again.ID, made.ID)
	}
	n.Close()
	n = newFolderNode(t, "n1", newMemFS(), plants{})
	defer n.Close()
	if other := n.Folder(); other.ID == made.ID {
		t.Error("another folder has the same id")
	}
}

func TestEnrolmentIsForLife(t *testing.T) {
	vfs := newMemFS()
	n := newFolderNode(t, "n1", vfs, plants{})
	defer n.Close()
	member := []Member{{ID: "n1", Address: "127.0.0.1:1"}}
	if err := n.Bootstrap(member); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("bootstrap of a folder that is in no cluster: %v, want %v", err, ErrNotEnrolled)
	}
	cluster, roster := uuid.NewString(), map[string]string{"n1": n.Folder().ID}
	for name, bad := range map[string]struct {
		cluster string
		roster  map[string]string
		word    string
	}{
		"no cluster":           {"", roster, "cluster"},
		"a cluster of no form": {"east", roster, `"east"`},
		"in capitals":          {strings.ToUpper(cluster), roster, "lower case"},
		"no roster":            {cluster, nil, "roster"},
		"a folder of no form":  {cluster, map[string]string{"n1": "f"}, "roster[n1]"},
		"a nameless node":      {cluster, map[string]string{"": ""}, "no id"},
		"another folder":       {cluster, map[string]string{"n1": uuid.NewString()}, n.Folder().ID},
		"a folder of two":      {cluster, map[string]string{"n1": n.Folder().ID, "n2": n.Folder().ID}, "n1's"},
	} {
		before := vfs.content()
		if err := n.Enroll(bad.cluster, bad.roster); err == nil || !strings.Contains(err.Error(), bad.word) {
			t.Errorf("%s: %v: want %q in it", name, err, bad.word)
		}
		if !maps.Equal(before, vfs.content()) {
			t.Errorf("%s: something was written", name)
		}
	}
	for range 2 {
		if err := n.Enroll(cluster, roster); err != nil {
			t.Fatal(err)
		}
	}
	before := vfs.content()
	for name, err := range map[string]error{
		"another cluster": n.Enroll(uuid.NewString(), roster),
		"another roster":  n.Enroll(cluster, map[string]string{"n1": "", "n2": ""}),
	} {
		if !errors.Is(err, ErrEnrolled) {
			t.Errorf("%s: %v, want %v", name, err, ErrEnrolled)
		}
	}
	for name, all := range map[string][]Member{
		"nobody":     nil,
		"a stranger": {{ID: "n2", Address: "127.0.0.1:2"}},
		"two":        {{ID: "n1", Address: "127.0.0.1:1"}, {ID: "n2", Address: "127.0.0.1:2"}},
		"no address": {{ID: "n1", Address: "here"}},
	} {
		if err := n.Bootstrap(all); err == nil || errors.Is(err, ErrBootstrapped) {
			t.Errorf("bootstrap with %s: %v", name, err)
		}
	}
	if !maps.Equal(before, vfs.content()) {
		t.Error("something was written")
	}
	if err := n.Bootstrap(member); err != nil {
		t.Fatal(err)
	}
	if err := n.Bootstrap(member); !errors.Is(err, ErrBootstrapped) {
		t.Errorf("bootstrap again: %v, want %v", err, ErrBootstrapped)
	}
	if f := n.Folder(); f.Cluster != cluster || !maps.Equal(f.Roster, roster) || f.Empty {
		t.Errorf("the folder is %+v", f)
	}
}

// enrolUnderPowerCuts cuts the power at each instant of an enrolment and a bootstrap: what was acknowledged is there, and
// a second attempt works.
func enrolUnderPowerCuts(t *testing.T, p plants) error {
	t.Helper()
	cluster := uuid.NewString()
	member := []Member{{ID: "n1", Address: "127.0.0.1:1"}}
	for steps := range 24 {
		vfs := newMemFS()
		n := newFolderNode(t, "n1", vfs, p)
		n.cfg.Fatal = func(error) {}
		roster := map[string]string{"n1": n.Folder().ID}
		cutAfter(vfs, steps)
		enrolled := n.Enroll(cluster, roster) == nil
		bootstrapped := enrolled && n.Bootstrap(member) == nil
		n.Close()
		vfs.powerCut(nil)
		n = newFolderNode(t, "n1", vfs, p)
		f := n.Folder()
		if enrolled && f.Cluster != cluster || bootstrapped && f.Empty {
			return fmt.Errorf("after %d steps, enrolled %v, bootstrapped %v: the folder is %+v", steps, enrolled, bootstrapped, f)
		}
		if f.Cluster == cluster {
			if err := n.Enroll(uuid.NewString(), roster); err == nil {
				return fmt.Errorf("after %d steps: enrolled in a second cluster", steps)
			}
		}
		if err := n.Enroll(cluster, roster); err != nil {
			return err
		}
		if err := n.Bootstrap(member); err != nil && !errors.Is(err, ErrBootstrapped) {
			return err
		}
		if n.Folder().Empty {
			return fmt.Errorf("after %d steps: bootstrapped, and empty", steps)
		}
		n.Close()
	}
	return nil
}

// The nodes run, unenrolled, before anyone knows who the founders are; and only one of them bootstraps in time.
func TestBootstrapWhileRunning(t *testing.T) {
	c := &cluster{t: t, ca: newAuthority(t), links: &links{}}
	for i := range 3 {
		m := &member{id: fmt.Sprint("n", i+1), fs: newMemFS(), dir: "data", adjust: func(*Config) {}}
		l := loopback.Listen(t, loopback.Address(t))
		m.address = l.Addr().String()
		c.members = append(c.members, m)
		c.voters = append(c.voters, Member{ID: m.id, Address: m.address})
		c.startOn(m, l)
	}
	t.Cleanup(c.drop)
	for _, m := range c.members {
		eventually(t, "raft runs", func() bool { return m.node.Status().State == "follower" })
		if f := m.node.Folder(); f.Cluster != "" || !f.Empty || len(m.node.Members()) != 0 {
			t.Fatalf("%s begins as %+v", m.id, f)
		}
	}
	id, roster := uuid.NewString(), map[string]string{}
	for _, m := range c.members {
		roster[m.id] = m.node.Folder().ID
	}
	for _, m := range c.members {
		if err := m.node.Enroll(id, roster); err != nil {
			t.Fatal(err)
		}
	}
	reversed := slices.Clone(c.voters)
	slices.Reverse(reversed)
	if err := c.members[1].node.Bootstrap(reversed); err != nil {
		t.Fatal(err)
	}
	_, index := c.put("k", "1")
	for _, m := range c.members {
		if err := m.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
			t.Fatal(err) // the leader has filled it
		}
		if err := m.node.Bootstrap(c.voters); !errors.Is(err, ErrBootstrapped) {
			t.Errorf("%s: bootstrap of what a leader has filled: %v, want %v", m.id, err, ErrBootstrapped)
		}
	}
	for _, m := range c.members {
		c.stop(m)
		c.start(m)
	}
	if got := c.leader().machine.get("k"); got != "1" {
		t.Errorf("k = %q after the restart, want 1", got)
	}
}

func FuzzEnrolment(f *testing.F) {
	f.Add([]byte(`{"cluster":"7d444840-9dc0-11d1-b245-5ffdce74fad2","roster":{"n1":"7d444840-9dc0-11d1-b245-5ffdce74fad3","n2":""}}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"cluster":"7d444840-9dc0-11d1-b245-5ffdce74fad2","roster":{"":""}}`))
	f.Add([]byte(`{"cluster":"7d444840-9dc0-11d1-b245-5ffdce74fad2","roster":{"n1":""}} x`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEnrolment(b)
		if err != nil {
			if e.Cluster != "" || e.Roster != nil {
				t.Errorf("refused, and still %+v", e)
			}
			return
		}
		if checkUUID(e.Cluster) != nil || len(e.Roster) == 0 {
			t.Errorf("accepted %+v", e)
		}
	})
}

// An enrolment that the disk did not take is an error at once, while the node runs and when it has ended itself.
func TestAnEnrolmentThatFailsIsSaid(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := loopback.Listen(t, loopback.Address(t))
	m := &member{id: "late", address: l.Addr().String(), fs: newMemFS(), dir: "data", adjust: func(*Config) {}}
	c.members = append(c.members, m)
	c.startOn(m, l)
	eventually(t, "raft runs", func() bool { return m.node.raft.Load() != nil })
	m.fs.(*memFS).setHook(func(op, name string) error {
		if op == "sync" && strings.HasPrefix(name, "meta-") {
			return errors.New("the disk is broken")
		}
		return nil
	})
	failed := make(chan error, 1)
	go func() { failed <- m.node.Enroll(c.id, c.roster) }()
	select {
	case err := <-failed:
		if !errors.Is(err, ErrStopped) {
			t.Errorf("an enrolment that is not on disk: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("who enrolls waits for ever")
	}
	<-m.fatal
	if err := m.node.Enroll(c.id, c.roster); !errors.Is(err, ErrStopped) {
		t.Errorf("an enrolment after the disk has failed: %v", err)
	}
}
