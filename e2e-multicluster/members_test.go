//go:build linux && e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/e2e-multicluster/estate"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
)

// exitUsage is the exit status of a server that may not be what its configuration says.
const exitUsage = 2

// spare is a server that is not there at first.
var spare = process.Place{Region: "shenzhen", Center: "sz-b"}

// Servers begin together, come, go and are replaced while clients write and read.
func TestServersComeAndGo(t *testing.T) {
	s := open(t, func(cfg *estate.Config) { cfg.Spare = []process.Place{spare} })
	s.beginPartly()
	s.load(nil)
	s.written("at first")
	newcomer := s.Server(spare.Center)
	s.joins(newcomer)
	s.say("  a write is acknowledged after %s", s.written("after a promotion").Round(time.Millisecond))
	s.stranger(s.Expected()[1])
	for leader := s.leader(); ; leader = s.leader() {
		if leader != newcomer {
			s.lostDisk(leader)
			break
		}
		s.pentad("member", "transfer", s.Expected()[0].Name)
	}
	s.lostDisk(s.Others(s.leader())[2])
	s.removed(newcomer)
	s.settled()
	s.written("at last")
	s.linearizable()
	s.same()
}

// beginPartly starts some of the expected servers, who wait for the others.
func (s *site) beginPartly() {
	s.t.Helper()
	some, last := s.Expected()[:4], s.Expected()[4]
	for _, started := range some {
		s.must(started.Start())
	}
	for _, waiting := range some {
		s.must(estate.Until(s.within(), "wait until "+waiting.Name+" waits for the last", func(ctx context.Context) error {
			status, err := waiting.Status(ctx)
			if err != nil {
				return err
			}
			for _, other := range s.Expected() {
				if awaited := strings.Contains(status.Waits, "server "+other.Name); awaited != (other == last) {
					return fmt.Errorf("it says %q", status.Waits)
				}
			}
			return nil
		}))
	}
	s.say("%s says: %s", some[0].Name, s.status(some[0]).Waits)
	s.must(last.Start())
	s.settled()
	clusters := map[string]bool{}
	for _, member := range s.Expected() {
		clusters[s.status(member).Cluster] = true
	}
	if len(clusters) != 1 || clusters[""] {
		s.t.Errorf("the servers are of clusters %v, want one", clusters)
	}
	s.say("%s started, all serve", last.Name)
}

// pentad runs the CLI at the hub and returns what it printed; it must succeed.
func (s *site) pentad(args ...string) string {
	s.t.Helper()
	kubeconfig, err := s.WriteKubeconfig(s.Expected()...)
	s.must(err)
	var out string
	// A change of leader may come in between.
	s.must(estate.Until(s.within(), "pentad "+strings.Join(args, " "), func(ctx context.Context) error {
		var said string
		var status int
		out, said, status, err = s.Command(ctx, append(args, "--kubeconfig", kubeconfig)...)
		if err == nil && status != 0 {
			err = fmt.Errorf("exit status %d: %s", status, said)
		}
		return err
	}))
	return out
}

// invite makes a token and has the server's configuration name it.
func (s *site) invite(newcomer *estate.Server) {
	s.t.Helper()
	token := s.pentad("member", "invite")
	file := s.Path(newcomer.Name + ".token")
	s.must(os.WriteFile(file, []byte(token), 0o600))
	s.must(newcomer.Configure(func(cfg *server.Config) { cfg.Join = &server.Join{TokenFile: file} }, s.Expected()...))
}

// joins lets a server with an empty folder in and gives it a vote.
func (s *site) joins(newcomer *estate.Server) {
	s.t.Helper()
	s.invite(newcomer)
	s.must(newcomer.Start())
	s.role(newcomer, "replica")
	s.say("  %s has joined as a read replica", newcomer.Name)
	s.pentad("member", "promote", newcomer.Name)
	s.role(newcomer, "voter")
	s.faults++
	s.say("  %s votes", newcomer.Name)
}

// role waits until the servers say so of a member.
func (s *site) role(member *estate.Server, want string) {
	s.t.Helper()
	c, err := s.Client(patience)
	s.must(err)
	defer c.Close()
	s.must(estate.Until(s.within(), "wait until "+member.Name+" is a "+want, func(ctx context.Context) error {
		if said := member.Said("pentad: "); !member.Running() {
			s.t.Fatalf("%s has ended: %q", member.Name, said)
		}
		members, err := c.Members(ctx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(members.Members, func(m client.Member) bool { return m.Name == member.Name })
		if at < 0 {
			return errors.New("it is unknown")
		}
		if got := members.Members[at].Role; got != want {
			return fmt.Errorf("it is a %s", got)
		}
		return nil
	}))
}

// ends waits for the end of a server that may not be what its configuration says, and for its words.
func (s *site) ends(refused *estate.Server, words string) {
	s.t.Helper()
	status, err := refused.Ended(s.within())
	s.must(err)
	said := refused.Said("pentad: ")
	if len(said) == 0 || status != exitUsage || !strings.Contains(said[len(said)-1], words) {
		s.t.Fatalf("%s ended with status %d and said %q, want %d and %q", refused.Name, status, said, exitUsage, words)
	}
	s.say("  %s ended with status %d: %s", refused.Name, status, said[len(said)-1])
}

// stranger starts a server with the folder that is another's, and one with a token that was used.
func (s *site) stranger(member *estate.Server) {
	s.t.Helper()
	newcomer := s.Server(spare.Center)
	newcomer.Kill()
	aside := newcomer.DataDir() + ".aside"
	s.must(os.Rename(newcomer.DataDir(), aside))
	s.must(newcomer.Start())
	s.ends(newcomer, "token")
	s.must(os.RemoveAll(newcomer.DataDir()))
	member.Kill()
	s.must(copyFolder(member.DataDir(), newcomer.DataDir()))
	s.must(newcomer.Start())
	s.ends(newcomer, "belongs to")
	s.must(os.RemoveAll(newcomer.DataDir()))
	s.must(os.Rename(aside, newcomer.DataDir()))
	s.must(s.Start(member, newcomer))
	s.settled(append(s.Expected(), newcomer)...)
	s.faults += 2
}

// lostDisk loses the disk of a server: it is refused as what it was, and let in as a new one.
func (s *site) lostDisk(member *estate.Server) {
	s.t.Helper()
	member.Kill()
	s.must(os.RemoveAll(member.DataDir()))
	s.must(member.Configure(func(cfg *server.Config) { cfg.Join = nil }, s.Expected()...))
	s.must(member.Start())
	s.ends(member, "its disk was lost")
	s.must(os.RemoveAll(member.DataDir()))
	s.pentad("member", "remove", member.Name)
	s.joins(member)
	s.written("with a new disk")
}

// removed removes a server, which ends by itself.
func (s *site) removed(member *estate.Server) {
	s.t.Helper()
	s.pentad("member", "remove", member.Name)
	status, err := member.Ended(s.within())
	s.must(err)
	said := member.Said("was removed from its estate")
	if status != 0 || len(said) == 0 {
		s.t.Errorf("%s was removed, ended with status %d and said %q of it; want 0, and why", member.Name, status, said)
	}
	s.say("  %s was removed and ended with status %d: %s", member.Name, status, strings.Join(said, "; "))
	s.faults++
}
