package consensus

import (
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"pentad.dev/pentad/process/loopback"
)

// tell tells every running member with which folders the others belong to the cluster.
func (c *cluster) tell(folders map[string]string) {
	for _, m := range c.members {
		m.node.SetFolders(folders)
	}
}

// anew gives a member another disk, under its name and at its address, and makes it a voter again.
func (c *cluster) anew(m *member) (folders map[string]string) {
	c.t.Helper()
	c.stop(m)
	c.silent(m)
	c.remove(m)
	m.fs = newMemFS()
	c.open(m, loopback.Listen(c.t, m.address))
	folders = map[string]string{}
	for _, x := range c.members {
		folders[x.id] = x.node.Folder().ID
	}
	roster := map[string]string{}
	for id, folder := range c.roster {
		if id != m.id {
			roster[id] = folder
		}
	}
	if err := m.node.Enroll(c.id, roster); err != nil {
		c.t.Fatal(err)
	}
	c.tell(folders)
	c.run(m)
	c.add(m)
	c.promote(m)
	return folders
}

// attempts counts connections to a member's address and from it, with nothing said of what comes of them.
func (c *cluster) attempts(id string) *atomic.Int64 {
	var n atomic.Int64
	c.links.set(func(from, to string, _ any, answer bool) error {
		if !answer && (from == id || to == id) {
			n.Add(1)
		}
		return nil
	})
	return &n
}

// oldDiskComesBack replaces the disk of a member, and then puts the old one in again.
func oldDiskComesBack(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) { cfg.break_ = p })
	defer c.drop()
	c.put("k", "1")
	m := c.others(c.leader())[0]
	old := m.fs.(*memFS)
	folders := c.anew(m)
	c.put("k", "2")
	if got := len(c.leader().node.Status().Voters); got != 3 {
		t.Errorf("%d voters, want 3", got)
	}
	c.stop(m)
	c.silent(m) // whoever hears it from now on hears the old disk
	m.fs = old
	c.start(m)
	attempts := c.attempts(m.id)
	c.put("k", "3", m)
	eventually(t, "the others call it, or it them", func() bool { return attempts.Load() > 20 })
	// Those who know the new folder neither fill nor count it.
	for _, x := range c.others(m) {
		if got := x.node.folderOf(m.id); got != folders[m.id] {
			t.Errorf("%s knows it with %s", x.id, got)
		}
	}
	if got := m.machine.get("k"); got == "2" || got == "3" {
		return fmt.Errorf("the old disk was filled: k=%s", got)
	}
	for _, s := range c.leader(m).node.Members() {
		if l := c.leader(m); s.ID == m.id && l.node.answers(s) {
			return fmt.Errorf("the old disk counts as %s", s.ID)
		}
	}
	return nil
}

// namedByAnother runs a member's folder with the certificate of somebody else, whom the cluster's authority knows too.
func namedByAnother(t *testing.T, p plants) error {
	var borrowed atomic.Bool
	var c *cluster
	c = newCluster(t, 3, func(i int, cfg *Config) {
		cfg.break_ = p
		if i == 2 && borrowed.Load() {
			cfg.ServerTLS, cfg.ClientTLS = c.ca.issue(t, "n9")
		}
	})
	defer c.drop()
	c.put("k", "1")
	m := c.members[2]
	c.stop(m)
	borrowed.Store(true)
	c.start(m)
	attempts := c.attempts(m.id)
	_, index := c.put("k", "2", m)
	eventually(t, "the others call it, or it them", func() bool { return attempts.Load() > 20 })
	if m.node.WaitApplied(timeout(t, p.patience(time.Second, time.Minute)), index) == nil {
		return fmt.Errorf("a node with the certificate of n9 is taken for %s", m.id)
	}
	return nil
}

// A connection that stands when its other end is replaced is closed.
func TestAConnectionToAReplacedDiskIsClosed(t *testing.T) {
	c := newCluster(t, 3, nil)
	l, _ := c.put("k", "1")
	m := c.others(l)[0]
	folders := map[string]string{m.id: "another"}
	for _, x := range c.others(m) {
		x.node.SetFolders(folders)
	}
	c.silent(m)
	_, index := c.put("k", "2", m)
	for _, x := range c.others(m) {
		x.node.SetFolders(nil) // a mistake: it is the one of the roster
	}
	if err := m.node.WaitApplied(timeout(t, 60*time.Second), index); err != nil {
		t.Fatal(err)
	}
}

// A voter that was away while another one was replaced, and has the table of before, follows the new one: the two may be
// the majority that is left.
func TestWhoMissedAReplacementFollowsTheNewDisk(t *testing.T) {
	c := newCluster(t, 3, nil)
	l, _ := c.put("k", "1")
	away, m := c.others(l)[0], c.others(l)[1]
	c.links.isolate(away.id)
	c.silent(away)
	folders := map[string]string{}
	for _, x := range c.members {
		folders[x.id] = x.node.Folder().ID
	}
	l.node.SetFolders(folders)
	m.node.SetFolders(folders)
	before := maps.Clone(folders)
	before[m.id] = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
	away.node.SetFolders(before)
	// The table is one of after a command that the one that is away has not.
	_, replaced := c.put("k", "2", away)
	if err := m.node.WaitApplied(timeout(t, 60*time.Second), replaced); err != nil {
		t.Fatal(err)
	}
	c.stop(l)
	c.links.set(nil)
	_, index := c.put("k", "3", l)
	if err := away.node.WaitApplied(timeout(t, 60*time.Second), index); err != nil {
		t.Fatal(err)
	}
}
