//go:build linux && e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/e2e-multicluster/estate"
)

// fault is something that happens to the servers. It leaves all of them running.
type fault struct {
	name  string
	long  bool // not in the short form
	apply func(*site)
}

var faults = []fault{
	{"the leader is killed", false, func(s *site) { s.killed(s.leader()) }},
	{"a follower is killed", true, func(s *site) { s.killed(s.Others(s.leader())[0]) }},
	{"two are killed at once, the leader among them", false, func(s *site) {
		leader := s.leader()
		s.killed(leader, s.Others(leader)[1])
	}},
	{"the leader is paused for longer than an election takes", false, func(s *site) { s.paused(s.leader()) }},
	{"a follower is paused", true, func(s *site) { s.paused(s.Others(s.leader())[2]) }},
	{"the leader is cut off, both ways", false, func(s *site) { s.cutOff(s.leader(), true, true, true) }},
	{"the leader is not heard", false, func(s *site) { s.cutOff(s.leader(), true, false, true) }},
	{"the leader hears nobody", true, func(s *site) { s.cutOff(s.leader(), false, true, true) }},
	{"a follower is cut off, both ways", true, func(s *site) { s.cutOff(s.Others(s.leader())[3], true, true, false) }},
	{"a follower is not heard", true, func(s *site) { s.cutOff(s.Others(s.leader())[0], true, false, false) }},
	{"a follower hears nobody", true, func(s *site) { s.cutOff(s.Others(s.leader())[1], false, true, false) }},
	{"the leader is left with one other", true, (*site).minority},
	{"the leader and one other don't reach each other, all others do", true, (*site).notTransitive},
	{"three are killed: no quorum", false, (*site).noQuorum},
	{"the leader is asked to stop", true, (*site).asked},
	{"the leader's disk hangs", false, func(s *site) { s.hung(s.leader(), true) }},
	{"a follower's disk hangs", true, func(s *site) { s.hung(s.Others(s.leader())[0], false) }},
	{"the leader's disk is full", false, func(s *site) { s.fullLeader() }},
	{"a follower's disk is full", true, func(s *site) { s.fullFollower() }},
}

// Whatever happens to a minority of the servers, others can write within moments, and what clients see is linearizable.
func TestLinearizableUnderFaults(t *testing.T) { underFaults(t, 0) }

// The same with regions that are far apart.
func TestLinearizableUnderFaultsOverADistance(t *testing.T) {
	if testing.Short() {
		t.Skip("not in the short form")
	}
	underFaults(t, oneWay)
}

func underFaults(t *testing.T, way time.Duration) {
	s := open(t, nil)
	s.must(s.Net.Delay(way))
	s.up()
	s.load(nil)
	s.say("first write after %s", s.written("before any fault").Round(time.Millisecond))
	for _, f := range faults {
		if f.long && testing.Short() {
			continue
		}
		s.say("%s", f.name)
		f.apply(s)
		s.faults++
		s.must(s.Net.Heal())
		s.settled()
		s.written("after " + f.name)
	}
	s.linearizable()
	s.same()
}

func (s *site) killed(servers ...*estate.Server) {
	s.t.Helper()
	var all sync.WaitGroup
	for _, server := range servers {
		all.Go(server.Kill)
	}
	all.Wait()
	s.say("  %s killed, a write is acknowledged after %s", names(servers...), s.written("after a kill").Round(time.Millisecond))
	s.must(s.Start(servers...))
	s.settled()
	s.say("  %s back", names(servers...))
}

func (s *site) paused(server *estate.Server) {
	s.t.Helper()
	server.Signal(syscall.SIGSTOP)
	s.say("  %s paused, a write is acknowledged after %s", server.Name, s.written("with a paused server").Round(time.Millisecond))
	leader := s.leader(server)
	time.Sleep(2 * time.Second) // paused for some election timeouts, and for the clients to try it
	server.Signal(syscall.SIGCONT)
	s.say("  %s leads, %s goes on", leader.Name, server.Name)
}

// cutOff cuts a server off the other servers, while clients reach it.
func (s *site) cutOff(server *estate.Server, out, in, leads bool) {
	s.t.Helper()
	s.must(s.Isolate(server, out, in))
	if leads {
		next := s.leader(server)
		s.say("  %s leads while %s is cut off", next.Name, server.Name)
	}
	s.say("  a write is acknowledged after %s", s.written("with "+server.Name+" cut off").Round(time.Millisecond))
	time.Sleep(2 * time.Second) // for the clients to try it
}

func (s *site) minority() {
	s.t.Helper()
	leader := s.leader()
	others := s.Others(leader)
	s.must(s.Split([]*estate.Server{leader, others[0]}, others[1:]))
	next := s.leader(leader, others[0])
	s.say("  %s leads three; a write is acknowledged after %s", next.Name, s.written("in a majority").Round(time.Millisecond))
	s.refused(leader)
}

func (s *site) notTransitive() {
	s.t.Helper()
	leader := s.leader()
	other := s.Others(leader)[0]
	s.must(s.Split([]*estate.Server{leader}, []*estate.Server{other}))
	s.say("  a write is acknowledged after %s", s.written("with one way cut").Round(time.Millisecond))
	time.Sleep(3 * time.Second) // for elections, if the cut brings any
	s.say("  a write is acknowledged after %s", s.written("with one way cut for long").Round(time.Millisecond))
}

func (s *site) asked() {
	s.t.Helper()
	leader := s.leader()
	leader.Signal(syscall.SIGTERM)
	took := s.written("after the leader was asked to stop")
	status, err := leader.Ended(s.within())
	s.must(err)
	if status != 0 {
		s.t.Errorf("%s ended with status %d after SIGTERM, want 0", leader.Name, status)
	}
	s.say("  %s ended with status %d, a write is acknowledged after %s", leader.Name, status, took.Round(time.Millisecond))
	s.must(leader.Start())
}

func (s *site) noQuorum() {
	s.t.Helper()
	leader := s.leader()
	others := s.Others(leader)
	dead := []*estate.Server{leader, others[0], others[1]}
	var all sync.WaitGroup
	for _, server := range dead {
		all.Go(server.Kill)
	}
	all.Wait()
	s.refused(others[2])
	c, err := s.Client(patience, others[2])
	s.must(err)
	defer c.Close()
	if _, err := c.Centers().Get(s.within(), s.keys[0], metav1.GetOptions{ResourceVersion: "0"}); err != nil {
		s.t.Errorf("a read at resourceVersion 0 without a quorum: %v, want it answered", err)
	}
	s.must(s.Start(dead...))
	s.settled()
	s.say("  a write is acknowledged %s after the quorum is back", s.written("with a quorum").Round(time.Millisecond))
}

// refused asks a server without a quorum until it says so, for at first it may hope for a leader.
func (s *site) refused(server *estate.Server) {
	s.t.Helper()
	for what, try := range map[string]func() (int, string, time.Duration){
		"read": func() (int, string, time.Duration) {
			return s.ask(server, http.MethodGet, "/apis/pentad.dev/v1alpha1/centers/"+s.keys[0], "", "")
		},
		"write": func() (int, string, time.Duration) { return s.tryWrite(server, 0) },
	} {
		s.must(estate.Until(s.within(), "wait for a refusal", func(context.Context) error {
			code, text, took := try()
			// Of a write that began with a leader nobody can tell: 504.
			if code != http.StatusServiceUnavailable {
				return fmt.Errorf("a %s is answered with %d: %s", what, code, text)
			}
			if !strings.Contains(text, "quorum") {
				s.t.Errorf("a %s without a quorum is refused without a word of it: %s", what, text)
			}
			s.say("  %s without a quorum refuses a %s after %s: %s", server.Name, what, took, text)
			return nil
		}))
	}
}

// same waits until every server holds the same registers.
func (s *site) same() {
	s.t.Helper()
	s.settled()
	want := map[string]string{}
	for i, server := range s.Expected() {
		c, err := s.Client(patience, server)
		s.must(err)
		list, err := c.Centers().List(s.within(), metav1.ListOptions{ResourceVersion: "0"})
		c.Close()
		s.must(err)
		for _, object := range list.Items {
			what := object.ResourceVersion + " " + object.Annotations["e2e.pentad.dev/register"]
			if i == 0 {
				want[object.Name] = what
			} else if want[object.Name] != what {
				s.t.Errorf("%s holds %s at %q, %s at %q", server.Name, object.Name, what, s.Expected()[0].Name, want[object.Name])
			}
		}
		if len(list.Items) != len(want) || len(want) < len(s.keys) {
			s.t.Errorf("%s holds %d objects, %s %d, want the %d registers at least", server.Name, len(list.Items),
				s.Expected()[0].Name, len(want), len(s.keys))
		}
	}
}
