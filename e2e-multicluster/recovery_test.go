//go:build linux && e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/e2e-multicluster/estate"
)

// All five are lost with their disks, and come back from a backup as a new life of the estate.
func TestAllAreLostAndRebuilt(t *testing.T) {
	s := open(t, nil)
	s.up()
	s.load(nil)
	for range 20 {
		s.written("at first")
	}
	s.must(s.clients.Stop())
	s.settled()
	before, revision, cluster := s.everything()
	file := s.Path("estate.backup")
	s.pentad("backup", "-o", file)
	s.say("backed up at revision %d", revision)
	old := s.Expected()[4]
	for _, lost := range s.Expected() {
		lost.Kill()
		if lost != old { // its folder is of the old life
			s.must(os.RemoveAll(lost.DataDir()))
		}
	}
	begin := time.Now()
	first := s.Expected()[0]
	s.altered(first, file)
	s.runs(0, "", "restore", "--config", first.ConfigFile(), file)
	s.must(first.Start())
	s.alone(first)
	s.say("%s serves the restored estate after %s", first.Name, time.Since(begin).Round(time.Millisecond))
	after, newer, another := s.everything()
	for name, value := range before {
		if after[name] != value {
			t.Errorf("%s is %q after the restore, was %q", name, after[name], value)
		}
	}
	if newer <= revision || another == cluster {
		t.Errorf("the restored estate is cluster %s at revision %d, the old one was %s at %d", another, newer, cluster, revision)
	}
	// Who is of the old life is nobody here, and disturbs nobody.
	s.must(old.Start())
	s.status(old)
	for _, member := range s.Expected()[1:4] {
		s.joins(member)
	}
	if status := s.status(old); status.Raft.Leader != "" || status.Cluster != cluster {
		t.Errorf("%s, of the old life, follows %q in cluster %s, want nobody in %s", old.Name, status.Raft.Leader, status.Cluster, cluster)
	}
	old.Kill()
	s.must(os.RemoveAll(old.DataDir()))
	s.joins(old)
	s.settled()
	s.say("five servers vote after %s", time.Since(begin).Round(time.Millisecond))
	s.same()
}

// The majority is lost for good: the survivor is made the beginning of a new life, after it was said what may be lost.
func TestALostMajorityIsRecovered(t *testing.T) {
	s := open(t, nil)
	s.up()
	s.load(nil)
	for range 20 {
		s.written("at first")
	}
	s.must(s.clients.Stop())
	s.settled()
	before, revision, _ := s.everything()
	survivor := s.leader()
	for _, lost := range s.Others(survivor) {
		lost.Kill()
		s.must(os.RemoveAll(lost.DataDir()))
	}
	survivor.Kill()
	const accept = "--i-accept-losing-what-only-the-others-have"
	s.runs(exitUsage, accept, "recover", "--config", survivor.ConfigFile())
	s.runs(0, "", "recover", "--config", survivor.ConfigFile(), accept)
	s.must(survivor.Start())
	s.alone(survivor)
	for _, member := range s.Others(survivor) {
		s.joins(member)
	}
	s.settled()
	after, newer, _ := s.everything()
	for name, value := range before {
		if after[name] != value {
			t.Errorf("%s is %q after the recovery, was %q", name, after[name], value)
		}
	}
	if newer <= revision {
		t.Errorf("the recovered estate is at revision %d, the old one was at %d", newer, revision)
	}
	s.same()
}

// everything is the registers as read consistently, the revision, and the id of the cluster.
func (s *site) everything() (registers map[string]string, revision uint64, cluster string) {
	s.t.Helper()
	c, err := s.Client(patience)
	s.must(err)
	defer c.Close()
	list, err := c.Centers().List(s.within(), metav1.ListOptions{})
	s.must(err)
	registers = map[string]string{}
	for _, object := range list.Items {
		registers[object.Name] = object.Annotations["e2e.pentad.dev/register"]
	}
	for _, key := range s.keys {
		if _, there := registers[key]; !there {
			s.t.Fatalf("%s is not among the %d registers", key, len(registers))
		}
	}
	s.must(estate.Until(s.within(), "wait for who leads all that there are", func(ctx context.Context) error {
		for _, member := range s.Expected() {
			if status, err := member.Status(ctx); err == nil && status.Raft.State == "leader" {
				revision, cluster = status.Revision, status.Cluster
				return nil
			}
		}
		return errors.New("nobody leads")
	}))
	return registers, revision, cluster
}

// alone waits until the only server of an estate leads.
func (s *site) alone(only *estate.Server) {
	s.t.Helper()
	s.settled(only)
	c, err := s.Client(patience, only)
	s.must(err)
	defer c.Close()
	_, err = c.Centers().List(s.within(), metav1.ListOptions{})
	s.must(err)
}

// runs runs a command that ends with that status and says these words.
func (s *site) runs(want int, words string, args ...string) {
	s.t.Helper()
	out, said, status, err := s.Command(s.within(), args...)
	s.must(err)
	if status != want || !strings.Contains(out+said, words) {
		s.t.Fatalf("pentad %s ended with status %d, want %d and the words %q: %s%s", strings.Join(args, " "), status, want, words, out, said)
	}
	s.say("pentad %s: status %d: %s%s", args[0], status, out, said)
}

// altered tries backups that are not whole: they are refused, and the folder stays empty.
func (s *site) altered(at *estate.Server, file string) {
	s.t.Helper()
	whole, err := os.ReadFile(file)
	s.must(err)
	for name, data := range map[string][]byte{
		"cut short": whole[:len(whole)/2],
		"altered":   append(append([]byte(nil), whole[:len(whole)/2]...), append([]byte{^whole[len(whole)/2]}, whole[len(whole)/2+1:]...)...),
		"empty":     nil,
	} {
		broken := s.Path("broken.backup")
		s.must(os.WriteFile(broken, data, 0o600))
		_, said, status, err := s.Command(s.within(), "restore", "--config", at.ConfigFile(), broken)
		s.must(err)
		if status != exitUsage {
			s.t.Errorf("a backup that is %s: status %d, want %d: %s", name, status, exitUsage, said)
		}
		s.say("a backup that is %s: %s", name, said)
	}
}
