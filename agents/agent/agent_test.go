package agent

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/agents/source"
	"pentad.dev/pentad/agents/vm"
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
	if !far.position().IsZero() {
		t.Error("the far server has the feed although the near one answers")
	}
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

// After any sequence of edits of the registry file, deaths of instances, restarts of the agent and of its readers,
// every reader shows what the file and the instances say; and no reader ever shows nothing.
func TestReadersFollowTheRegistry(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "registry.yaml")
	adapter, err := vm.New(vm.Config{Path: path, Poll: 200 * time.Millisecond, Log: quiet})
	check(t, err)
	server, relay := newHolder(t, "server"), newHolder(t, "relay")
	m := newMember(t, adapter, relay)
	m.config.Servers = []feed.Peer{server.peer}
	instances := []*instance{}
	for range 4 {
		instances = append(instances, newInstance(t))
	}
	write := func() {
		text := "services:\n- name: orders\n  ports: [{name: p, port: 80}]\n" +
			"  check: {type: tcp, interval: 10ms}\n  instances:\n"
		for i, one := range instances {
			if one.listed || i == 0 {
				text += fmt.Sprintf("  - {name: i%d, address: 127.0.0.1, ports: {p: %d}}\n", i, one.port)
			}
		}
		check(t, os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path))
	}
	write()
	m.start()
	for step := range 60 {
		i := instances[1+random.IntN(len(instances)-1)]
		action := []string{"list", "unlist", "kill", "up", "agent", "agent without file", "server", "relay"}[random.IntN(8)]
		switch action {
		case "list", "unlist":
			i.listed = action == "list"
			write()
		case "kill":
			i.kill()
		case "up":
			i.up()
		case "agent":
			m.stop()
			m.start()
		case "agent without file":
			m.stop()
			check(t, os.Remove(path))
			m.start()
			time.Sleep(10 * time.Millisecond)
			for _, h := range []*holder{server, relay} {
				if len(h.shown()) == 0 && step > 0 {
					t.Fatalf("step %d: %s shows nothing while the source has not answered", step, h.peer.Name)
				}
			}
			write()
		case "server":
			server.stopped()
			server.start()
		case "relay":
			relay.stopped()
			relay.start()
		}
		want := []string{}
		for k, one := range instances {
			if one.listed || k == 0 {
				state := modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY
				if one.listener != nil {
					state = modelpb.EndpointState_ENDPOINT_STATE_READY
				}
				want = append(want, fmt.Sprintf("%d %s", one.port, state))
			}
		}
		slices.Sort(want)
		for _, h := range []*holder{server, relay} {
			if err := h.until(fmt.Sprint(want), func() bool { return slices.Equal(h.endpoints(), want) }); err != nil {
				t.Fatalf("step %d (%s): %v, endpoints %v", step, action, err, h.endpoints())
			}
		}
	}
	own, _ := m.agent.set.Get(vms)
	for _, h := range []*holder{server, relay} {
		check(t, h.until("the writer's position", func() bool { return h.position() == own.Position() }))
		if l, _ := h.set.Get(vms); l.Digest() != own.Digest() {
			t.Errorf("%s differs from the writer at the same position", h.peer.Name)
		}
	}
}

func (h *holder) endpoints() []string {
	all := []string{}
	if l, ok := h.set.Get(vms); ok {
		for r := range l.All() {
			if r.Kind == model.KindEndpointSlice {
				slice, err := model.DecodeEndpointSlice(r.Key, r.Value)
				check(h.t, err)
				for _, e := range slice.Endpoints {
					all = append(all, fmt.Sprintf("%d %s", e.Ports[0], e.State))
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// instance is a TCP server on a port of its own.
type instance struct {
	t        testing.TB
	listed   bool
	port     int
	listener net.Listener
}

func newInstance(t testing.TB) *instance {
	i := &instance{t: t}
	i.up()
	t.Cleanup(i.kill)
	return i
}

func (i *instance) up() {
	if i.listener != nil {
		return
	}
	i.listener, i.port = listen(i.t, i.port)
	listener := i.listener
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
}

func (i *instance) kill() {
	if i.listener != nil {
		i.listener.Close()
		i.listener = nil
	}
}
