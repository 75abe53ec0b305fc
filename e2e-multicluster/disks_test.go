//go:build linux && e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// big is an object's size: some tens of them fill a segment of the log, and the next is made ahead.
const big = 200 << 10

// full writes big objects by way of the leader until a server says that its disk is full, and returns how many were taken.
// Whatever is not taken is refused in so many words: nobody is left to guess but who was in the middle of an election.
func (s *site) full(leader, server *estate.Server) (taken int) {
	s.t.Helper()
	refused := ""
	s.must(estate.Until(s.within(), "fill the log's room at "+server.Name, func(ctx context.Context) error {
		code, text, took := s.tryWrite(leader, big)
		switch {
		case code == 0 || code >= http.StatusMultipleChoices && code != http.StatusServiceUnavailable && code != http.StatusGatewayTimeout:
			s.t.Fatalf("a big write is answered with %d: %s", code, text)
		case code >= http.StatusMultipleChoices && refused == "":
			refused = text
			s.say("  after %d big writes one is refused, within %s: %s", taken, took, text)
		case code < http.StatusMultipleChoices:
			taken++
		}
		status, err := server.Status(ctx)
		if err == nil && !status.Raft.DiskFull {
			err = fmt.Errorf("%d big objects went onto its full disk", taken)
		}
		return err
	}))
	return taken
}

// heals makes room: the server goes on by itself, as the process that it was.
func (s *site) heals(server *estate.Server, pid int) {
	s.t.Helper()
	s.must(server.Disk.Free())
	s.settled()
	s.must(estate.Until(s.within(), "wait until "+server.Name+" stores entries again", func(ctx context.Context) error {
		s.written("with room again")
		status, err := server.Status(ctx)
		if err == nil && status.Raft.DiskFull {
			err = errors.New("it says that its disk is full")
		}
		return err
	}))
	if now := server.PID(); now != pid {
		s.t.Errorf("%s is process %d after its full disk, was %d", server.Name, now, pid)
	}
}

// fullLeader fills the leader's disk: it hands its office over, and all can write.
func (s *site) fullLeader() {
	s.t.Helper()
	leader := s.leader()
	pid := leader.PID()
	s.must(leader.Disk.Fill())
	taken := s.full(leader, leader)
	next := s.leader(leader)
	s.say("  %s leads after %d big writes; a write is acknowledged after %s", next.Name, taken,
		s.written("with the leader's disk full").Round(time.Millisecond))
	s.heals(leader, pid)
}

// fullFollower fills a follower's disk, which hinders nobody.
func (s *site) fullFollower() {
	s.t.Helper()
	leader := s.leader()
	follower := s.Others(leader)[0]
	pid := follower.PID()
	s.must(follower.Disk.Fill())
	taken := s.full(leader, follower)
	s.say("  %d big writes until the disk of %s was full; a write is acknowledged after %s", taken, follower.Name,
		s.written("with a follower's disk full").Round(time.Millisecond))
	s.heals(follower, pid)
}
