package agent

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pentad.dev/pentad/agents/vm"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/process/loopback"
)

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
			"  check: {type: tcp, interval: 10ms, timeout: 30s}\n  instances:\n"
		for i, one := range instances {
			if one.listed || i == 0 {
				text += fmt.Sprintf("  - {name: i%d, address: 127.0.0.1, ports: {p: %s}}\n", i, one.port())
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
				want = append(want, fmt.Sprintf("%s %s", one.port(), state))
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

// instance is a TCP server at an address of its own.
type instance struct {
	t        testing.TB
	listed   bool
	address  string
	listener net.Listener
}

func newInstance(t testing.TB) *instance {
	i := &instance{t: t, address: loopback.Address(t)}
	i.up()
	t.Cleanup(i.kill)
	return i
}

func (i *instance) port() string {
	_, port, err := net.SplitHostPort(i.address)
	check(i.t, err)
	return port
}

func (i *instance) up() {
	if i.listener != nil {
		return
	}
	i.listener = loopback.Listen(i.t, i.address)
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
