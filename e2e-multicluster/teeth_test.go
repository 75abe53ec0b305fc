//go:build linux && e2e

package e2e

import (
	"os"
	"os/exec"
	"testing"

	"pentad.dev/pentad/e2e-multicluster/estate"
	"pentad.dev/pentad/e2e-multicluster/history"
)

// A test that finds nothing proves nothing: clients that take what a cut-off server has for the truth are found out.
func TestStaleReadsAreFound(t *testing.T) {
	s := open(t, nil)
	s.up()
	s.load(func(cfg *history.Config) { cfg.Stale = true })
	leader := s.leader()
	s.must(s.Isolate(leader, true, true))
	next := s.leader(leader)
	s.say("%s leads while %s is cut off, and clients read there what it has", next.Name, leader.Name)
	s.stale(leader, history.Now())
	if v := s.judge(); v.Linearizable || !v.Decided {
		t.Errorf("reads of an old leader's state are not found: %s", v)
	}
}

// stale waits until a client has for certain read at the server what was overwritten, by a write that began after a reading
// of Now: what was read had been answered before that write began, for a write without an answer may come late.
func (s *site) stale(server *estate.Server, after int64) {
	s.t.Helper()
	written, newest := map[string]history.Op{}, map[string]history.Op{} // by value, and by key
	_, err := s.clients.Wait(s.within(), 0, func(op history.Op) bool {
		switch {
		case op.Outcome != history.Done:
		case op.Kind != history.Read:
			written[op.Value] = op
			if op.Call >= after {
				newest[op.Key] = op
			}
		case op.Server == server.Name:
			over, overwritten := newest[op.Key]
			seen, answered := written[op.Seen]
			return overwritten && over.Return < op.Call && (op.Seen == "" || answered && seen.Return < over.Call)
		}
		return false
	})
	if err != nil {
		s.t.Fatalf("wait for a read at %s of what was overwritten: %v", server.Name, err)
	}
}

// Disks that forget what they said was written lose acknowledged writes, and that is found.
func TestForgetfulDisksAreFound(t *testing.T) {
	s := open(t, nil)
	s.up()
	s.load(nil)
	s.written("at first")
	servers := s.Expected()
	forgetful := servers[:3]
	kill := func() {
		for _, server := range servers {
			server.Kill()
		}
	}
	kill()
	for _, server := range forgetful {
		s.must(copyFolder(server.DataDir(), server.DataDir()+".before"))
	}
	s.must(s.Start())
	s.settled()
	for range 20 {
		s.written("of what will be forgotten")
	}
	s.must(s.clients.Stop())
	kill()
	for _, server := range forgetful {
		s.must(os.RemoveAll(server.DataDir()))
		s.must(os.Rename(server.DataDir()+".before", server.DataDir()))
	}
	s.say("%s are as they were some writes ago", names(forgetful...))
	s.must(s.Start(forgetful...))
	s.settled(forgetful...)
	c, err := s.Client(patience, forgetful...)
	s.must(err)
	defer c.Close()
	s.must(s.clients.Look(s.within(), c, s.keys))
	if v := s.judge(); v.Linearizable || !v.Decided {
		t.Errorf("acknowledged writes that were lost are not found: %s", v)
	}
}

func copyFolder(from, to string) error { return exec.Command("cp", "-a", from, to).Run() }
