package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/agents/source"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/process"
)

// The feeds go to each relay and to the nearest server; when that dies they go to the next, and the relays do not
// notice.
func TestFeedsGoToEachRelayAndToTheNearestServer(t *testing.T) {
	s := newScript()
	near, far := newHolder(t, "near"), newHolder(t, "far")
	relays := []*holder{newHolder(t, "relay-1"), newHolder(t, "relay-2")}
	m := newMember(t, s, relays...)
	m.config.Servers = []feed.Peer{near.peer, far.peer}
	m.start()
	check(t, s.replace("catalog", "orders"))
	check(t, near.shows("catalog", "orders"), relays[0].shows("catalog", "orders"), relays[1].shows("catalog", "orders"))
	nearAlone(t, s, m, near, far)
	near.stopped()
	check(t, s.apply(changes("assets")...))
	check(t, relays[0].shows("assets", "catalog", "orders"), far.shows("assets", "catalog", "orders"))
	status := m.agent.Status()
	if got := status.Feeds[vms]; got.Records != 3 || got.Position != far.position().String() {
		t.Errorf("status %+v", got)
	}
	if len(status.Peers) != 4 {
		t.Errorf("status has %d peers, want 4", len(status.Peers))
	}
	relays[0].stopped()
	far.stopped()
	check(t, s.apply(feed.Change{Kind: model.KindService, Key: "orders"}), relays[1].shows("assets", "catalog"))
	near.start() // with what it held when it died
	relays[0].start()
	check(t, near.shows("assets", "catalog"), relays[0].shows("assets", "catalog"))
}

// nearAlone waits until the far server is given nothing: it may have been there first, or the near one may seem lost on a
// busy machine, but not for long.
func nearAlone(t *testing.T, s *script, m *member, near, far *holder) {
	t.Helper()
	deadline := time.Now().Add(soon)
	for alone := false; !alone; {
		check(t, near.until("publishing to the near one alone", func() bool {
			peers := m.agent.Status().Peers
			return peers[0].Connected && !peers[1].Connected
		}))
		held := far.position()
		check(t, s.apply(changes("billing")...), near.shows("billing", "catalog", "orders"))
		alone = far.position() == held
		check(t, s.apply(feed.Change{Kind: model.KindService, Key: "billing"}), near.shows("catalog", "orders"))
		if !alone && time.Now().After(deadline) {
			t.Fatal("the far server is given changes although the near one answers")
		}
	}
}

func TestASecondAgentOnTheSameFolderIsRefused(t *testing.T) {
	m := newMember(t, newScript())
	m.start()
	var usage *process.UsageError
	if _, err := New(m.config); !errors.As(err, &usage) || !says(err, "in use by another process") {
		t.Errorf("got %v", err)
	}
	m.stop()
	other := m.config
	other.Cluster = "vm-sh-a"
	if _, err := New(other); !errors.As(err, &usage) || !says(err, `belongs to "agent vm-hz-a"`) {
		t.Errorf("got %v", err)
	}
	m.start()
}

func TestTheReportFollowsTheSource(t *testing.T) {
	s, relay := newScript(), newHolder(t, "relay")
	m := newMember(t, s, relay)
	m.start()
	is := func(want *modelpb.SourceReport) error {
		want.Source = "vms"
		return relay.until(want.String(), func() bool { return relay.report().String() == want.String() })
	}
	check(t, is(&modelpb.SourceReport{Error: errNoAnswer.Error()}))
	if err := m.agent.Ready(); !errors.Is(err, errNoAnswer) {
		t.Errorf("ready: %v", err)
	}
	check(t, s.replace("catalog", "orders"), is(&modelpb.SourceReport{Services: 2}), m.agent.Ready())
	slice := func(n int) feed.Change {
		message := &modelpb.EndpointSlice{Service: "orders", PortNames: []string{"p"}}
		for i := range n {
			e := &modelpb.Endpoint{Address: fmt.Sprintf("10.0.0.%d", i+1), Ports: []uint32{80}}
			message.Endpoints = append(message.Endpoints, e)
		}
		value, err := model.Encode(message)
		check(t, err)
		return feed.Change{Kind: model.KindEndpointSlice, Key: "orders/0", Value: value}
	}
	check(t, s.apply(slice(5)), is(&modelpb.SourceReport{Services: 2, Endpoints: 5}))
	check(t, s.apply(slice(3)), is(&modelpb.SourceReport{Services: 2, Endpoints: 3}))
	check(t, s.do(func(out source.Sink) error { out.Problem(errors.New("bad line")); return nil }))
	check(t, is(&modelpb.SourceReport{Services: 2, Endpoints: 3, Error: "bad line"}))
	at := relay.set.Log(reports).Position()
	check(t, s.do(func(out source.Sink) error { out.Problem(errors.New("bad line")); return nil }), s.apply(slice(3)))
	time.Sleep(20 * time.Millisecond)
	if got := m.agent.reports.log.Position(); got != at {
		t.Errorf("a report that says the same was written: %s after %s", got, at)
	}
	check(t, s.do(func(out source.Sink) error { out.Problem(nil); return nil }))
	check(t, s.apply(
		feed.Change{Kind: model.KindEndpointSlice, Key: "orders/0"}, feed.Change{Kind: model.KindService, Key: "orders"}))
	check(t, is(&modelpb.SourceReport{Services: 1}))
}

// A source that stops leaves what it said in force, and runs again; its next whole set is a commit of what differs.
func TestASourceThatStopsIsRunAgain(t *testing.T) {
	s, relay := newScript(), newHolder(t, "relay")
	m := newMember(t, s, relay)
	m.start()
	check(t, s.replace("catalog", "orders"), relay.shows("catalog", "orders"))
	was := m.position()
	s.steps <- func(source.Sink) error { return errors.New("connection lost") }
	check(t, relay.until("report", func() bool { return strings.Contains(relay.report().GetError(), "connection lost") }))
	check(t, relay.shows("catalog", "orders"))
	if err := s.apply(changes("assets")...); !errors.Is(err, ErrNotAnswered) {
		t.Errorf("changes of a new run before its whole set: %v", err)
	}
	check(t, s.replace("assets", "orders"), relay.shows("assets", "orders"))
	if got := m.position(); got.Incarnation != was.Incarnation || got.Seq != was.Seq+1 {
		t.Errorf("the position went from %s to %s, want one more commit", was, got)
	}
	check(t, relay.until("no error", func() bool { return relay.report().GetError() == "" }))
}

func TestAWrongRecordIsRefusedWhole(t *testing.T) {
	s := newScript()
	m := newMember(t, s)
	m.start()
	check(t, s.replace("orders"))
	was := m.position()
	for want, bad := range map[string]feed.Change{
		"invalid record: Service \"x\"": {Kind: model.KindService, Key: "x", Value: changes("orders")[0].Value},
		"malformed record":              {Kind: model.KindEndpointSlice, Key: "orders/0", Value: []byte{1}},
		"unknown kind of record":        {Kind: model.KindSourceReport, Key: "vms"},
	} {
		if err := s.apply(append(changes("catalog"), bad)...); !says(err, want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if bad.Value != nil {
			if err := s.do(func(out source.Sink) error { return out.Replace([]feed.Change{bad}) }); !says(err, want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	}
	if got := m.position(); got != was {
		t.Errorf("the feed went from %s to %s", was, got)
	}
}

func TestAWrongConfigNamesItsFields(t *testing.T) {
	_, err := New(Config{Sources: map[string]source.Source{"Reports": nil, "reports": nil}})
	for _, want := range []string{
		"cluster:", "dataDir:", "servers:", "log:", `sources[Reports]: Invalid value: "Reports"`,
		"sources[reports]: the name is taken",
	} {
		if !says(err, want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
