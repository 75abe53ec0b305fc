//go:build linux

package netns

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

const (
	bridge = "br0"
	// straight is a host's device on the bridge, round the one whose other end is the switch.
	straight, round = "eth0", "far0"
)

// Host is a host of a Network.
type Host struct {
	*Namespace
	Region string
	// Address is the host's on the bridge.
	Address netip.Addr
	port    *port
}

// Network is hosts that reach each other. Its methods are safe for concurrent use, one at a time.
type Network struct {
	hub    *Namespace
	fabric *fabric
	order  []*Host
	hosts  map[string]*Host

	mu    sync.Mutex
	cuts  map[[2]string]bool
	delay time.Duration
}

// Place is a host to be made.
type Place struct{ Name, Region string }

// NewNetwork makes the hosts around a hub and lets every two reach each other. Nothing cuts the hub off. Close closes it.
func NewNetwork(hub *Namespace, places ...Place) (_ *Network, err error) {
	n := &Network{hub: hub, hosts: map[string]*Host{}, cuts: map[[2]string]bool{}, fabric: &fabric{ports: map[netip.Addr]*port{}}}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	address := netip.AddrFrom4([4]byte{10, 77, 0, 1})
	if err := n.hub.IP("link add "+bridge+" type bridge", fmt.Sprintf("addr add %s/24 dev %s", address, bridge),
		"link set "+bridge+" up"); err != nil {
		return nil, err
	}
	for i, p := range places {
		address = address.Next()
		if err := n.add(p, address, portName(i)); err != nil {
			return nil, err
		}
	}
	for _, from := range n.order {
		for _, to := range n.order {
			from.port.lost[to.Address] = &atomic.Bool{}
		}
	}
	n.fabric.run()
	return n, nil
}

func (n *Network) add(p Place, address netip.Addr, port string) error {
	ns, err := New(p.Name)
	if err != nil {
		return err
	}
	h := &Host{Namespace: ns, Region: p.Region, Address: address, port: newPort()}
	n.hosts[p.Name] = h
	n.order = append(n.order, h)
	if err := n.hub.IP(fmt.Sprintf("link add %s type veth peer name %s netns %d", port, straight, ns.tid),
		fmt.Sprintf("link set %s master %s up", port, bridge)); err != nil {
		return err
	}
	if err := ns.Do(func() (err error) {
		// What comes in on one device while the way back is another is no forgery here.
		for _, device := range []string{"all", "default", straight} {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+device+"/rp_filter", []byte("0"), 0); err != nil &&
				!os.IsNotExist(err) {
				return err
			}
		}
		h.port.device, err = openTun(round)
		return err
	}); err != nil {
		return fmt.Errorf("host %s: %w", p.Name, err)
	}
	n.fabric.ports[address] = h.port
	return ns.IP("link set "+straight+" up", "link set "+round+" up", fmt.Sprintf("addr add %s/24 dev %s", address, straight))
}

// portName is a bridge's device towards a host.
func portName(i int) string { return fmt.Sprint("port", i) }

func newPort() *port { return &port{lost: map[netip.Addr]*atomic.Bool{}} }

// Host is the host of that name; it must be there.
func (n *Network) Host(name string) *Host { return n.hosts[name] }

// Cut loses every packet on the way from one host to the other. The way back is another cut.
func (n *Network) Cut(from, to string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]string{from, to}] = true
	return n.lay(n.hosts[from], n.hosts[to])
}

// Heal ends every cut.
func (n *Network) Heal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for pair := range n.cuts {
		delete(n.cuts, pair)
		if err := n.lay(n.hosts[pair[0]], n.hosts[pair[1]]); err != nil {
			return err
		}
	}
	return nil
}

// Delay makes every way between regions that long; 0 is the bridge's own time.
func (n *Network) Delay(oneWay time.Duration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = oneWay
	n.fabric.delay.Store(int64(oneWay))
	for _, from := range n.order {
		for _, to := range n.order {
			if from.Region != to.Region {
				if err := n.lay(from, to); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lay sets one host's route to another. Connections that exist take it at once.
func (n *Network) lay(from, to *Host) error {
	lost := n.cuts[[2]string{from.Name, to.Name}]
	from.port.lost[to.Address].Store(lost)
	device := straight
	if lost || n.delay > 0 && from.Region != to.Region {
		device = round
	}
	return from.IP(fmt.Sprintf("route replace %s/32 dev %s src %s", to.Address, device, from.Address))
}

// Start starts a process at the hub.
func (n *Network) Start(cmd *exec.Cmd) error { return n.hub.Start(cmd) }

// Close takes the network down, and kills what runs in it.
func (n *Network) Close() {
	for _, h := range n.order {
		if h.port.device != nil {
			_ = h.port.device.Close()
		}
		h.Close()
	}
	// A hub that is a process's own namespace goes on. An error says that they were not made.
	for i := range n.order {
		_ = n.hub.IP("link del " + portName(i))
	}
	_ = n.hub.IP("link del " + bridge)
	n.hub.Close()
}
