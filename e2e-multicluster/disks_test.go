//go:build linux && e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
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

// big writes objects that fill a log until one is refused or there were enough, and returns the refusal.
func (s *site) big(c *client.Client, much int) (written int, took time.Duration, err error) {
	for range much {
		object := &v1alpha1.Center{
			ObjectMeta: metav1.ObjectMeta{Name: "big", Annotations: map[string]string{"big": strings.Repeat("x", 200<<10)}},
			Spec:       v1alpha1.CenterSpec{Region: "hangzhou"},
		}
		start := time.Now()
		object.Annotations["n"] = fmt.Sprint(start.UnixNano())
		_, err = c.Centers().Apply(s.within(), object, metav1.ApplyOptions{FieldManager: "e2e", Force: true})
		if took = time.Since(start); err != nil {
			return written, took, err
		}
		written++
	}
	return written, took, nil
}

const (
	// segments of the log are made ahead: so many big writes need new ones.
	enough = 400
	// impatient is how long a client repeats what a full disk refuses.
	impatient = 3 * time.Second
)

func (s *site) fullLeader() {
	s.t.Helper()
	leader := s.leader()
	c, err := s.Client(impatient)
	s.must(err)
	defer c.Close()
	s.must(leader.Disk.Fill())
	written, took, err := s.big(c, enough)
	if err == nil {
		s.t.Fatalf("%d big writes went onto the full disk of %s", written, leader.Name)
	}
	s.say("  refused after %d big writes, the last took %s: %v", written, took.Round(time.Millisecond), err)
	if !strings.Contains(err.Error(), "disk is full") {
		s.t.Errorf("the refusal does not say that the disk is full: %v", err)
	}
	code, text, took := s.tryWrite(leader, 200<<10)
	s.say("  one more request: %d after %s: %s", code, took, text)
	s.must(leader.Disk.Free())
	s.say("  a write is acknowledged %s after there is room", s.written("after there is room").Round(time.Millisecond))
	if !leader.Running() {
		s.t.Errorf("%s did not live through its full disk", leader.Name)
	}
}

func (s *site) fullFollower() {
	s.t.Helper()
	leader := s.leader()
	follower := s.Others(leader)[0]
	c, err := s.Client(patience)
	s.must(err)
	defer c.Close()
	s.must(follower.Disk.Fill())
	written, _, err := s.big(c, 100)
	if err != nil {
		s.t.Errorf("after %d big writes with a follower's disk full: %v", written, err)
	}
	s.say("  %d big writes with the disk of %s full", written, follower.Name)
	s.must(follower.Disk.Free())
	if !follower.Running() {
		s.t.Errorf("%s did not live through its full disk", follower.Name)
	}
}
