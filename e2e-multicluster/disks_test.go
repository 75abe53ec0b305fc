//go:build linux && e2e

package e2e

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"pentad.dev/pentad/e2e-multicluster/estate"
)

// exitDisk is the exit status of a server that its disk ended.
const exitDisk = 3

// hung hangs a server's disk until the server gives up, and lets it end and start again.
func (s *site) hung(server *estate.Server, leads bool) {
	s.t.Helper()
	said := len(server.Said("the process ends"))
	s.must(server.Disk.Freeze())
	if leads {
		next := s.leader(server)
		s.say("  %s leads while the disk of %s hangs", next.Name, server.Name)
	}
	s.say("  a write is acknowledged after %s", s.written("with a disk that hangs").Round(time.Millisecond))
	s.must(estate.Until(s.within(), "wait until "+server.Name+" gives up", func(context.Context) error {
		if len(server.Said("the process ends")) == said {
			return errors.New("its log does not say so")
		}
		return nil
	}))
	lines := server.Said("the process ends")
	s.say("  %s says: %s", server.Name, lines[len(lines)-1])
	// Who waits for a disk in the kernel cannot end before the disk answers.
	s.must(server.Disk.Thaw())
	status, err := server.Ended(s.within())
	s.must(err)
	if status != exitDisk {
		s.t.Errorf("%s ended with status %d, want %d", server.Name, status, exitDisk)
	}
	s.must(server.Start())
	s.settled()
	s.say("  %s ended with status %d and is back", server.Name, status)
}

const (
	// big is an object's size: some tens of them fill a segment of the log, and the next is made ahead.
	big = 200 << 10
	// enough big objects need new segments for certain.
	enough = 400
)

// fullLeader fills the leader's disk. Who writes then is told so at once, unless another has taken over already; then all
// can write. The old leader may have to end itself: taking back entries that nobody else has needs room, too.
func (s *site) fullLeader() {
	s.t.Helper()
	leader := s.leader()
	s.must(leader.Disk.Fill())
	told := ""
	for n := 0; told == ""; n++ {
		if n == enough {
			next := s.leader()
			if next == leader {
				s.t.Fatalf("%d big objects went onto the full disk of %s", n, leader.Name)
			}
			told = next.Name + " has taken over"
			s.say("  %s", told)
			break
		}
		code, text, took := s.tryWrite(leader, big)
		if code == http.StatusServiceUnavailable && strings.Contains(text, "disk is full") {
			told = text
			s.say("  refused after %d big writes, within %s: %s", n, took, text)
		}
	}
	s.say("  a write is acknowledged after %s", s.written("with the leader's disk full").Round(time.Millisecond))
	s.must(leader.Disk.Free())
	if leader.Running() {
		return
	}
	status, err := leader.Ended(s.within())
	s.must(err)
	if status != exitDisk {
		s.t.Errorf("%s ended with status %d on its full disk, want that it lives or ends with %d", leader.Name, status, exitDisk)
	}
	s.must(leader.Start())
	s.say("  %s ended with status %d and is started again", leader.Name, status)
}

func (s *site) fullFollower() {
	s.t.Helper()
	leader := s.leader()
	follower := s.Others(leader)[0]
	s.must(follower.Disk.Fill())
	const many = 100
	for n := 0; n < many; {
		if code, text, _ := s.tryWrite(leader, big); code < http.StatusMultipleChoices {
			n++
		} else if code != http.StatusServiceUnavailable && code != http.StatusGatewayTimeout { // an election
			s.t.Fatalf("a big write with a follower's disk full: %d: %s", code, text)
		}
	}
	s.say("  %d big writes with the disk of %s full", many, follower.Name)
	s.must(follower.Disk.Free())
	if !follower.Running() {
		s.t.Errorf("%s did not live through its full disk", follower.Name)
	}
}
