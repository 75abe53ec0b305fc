//go:build linux

package netns

import (
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// queued is how many packets of a path wait for their time; more are lost, as in a router.
	queued = 4096
	mtu    = 1500
)

// fabric hands IPv4 packets from one host's tun device to another's, each pair's in order.
type fabric struct {
	ports map[netip.Addr]*port
	delay atomic.Int64 // nanoseconds, one way
}

// port is a host's tun device.
type port struct {
	device *os.File
	queues map[netip.Addr]chan packet // by destination
	// lost says which destinations get nothing.
	lost map[netip.Addr]*atomic.Bool
}

type packet struct {
	due  time.Time
	data []byte
}

// openTun makes a tun device in the calling thread's namespace.
func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("tun device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// run starts the switch's goroutines; they end when the devices are closed.
func (f *fabric) run() {
	for _, from := range f.ports {
		from.queues = map[netip.Addr]chan packet{}
		for address, to := range f.ports {
			if to != from {
				queue := make(chan packet, queued)
				from.queues[address] = queue
				go to.write(queue)
			}
		}
		go f.read(from)
	}
}

func (f *fabric) read(from *port) {
	defer func() {
		for _, queue := range from.queues {
			close(queue)
		}
	}()
	buffer := make([]byte, mtu)
	for {
		n, err := from.device.Read(buffer)
		if err != nil {
			return
		}
		const header, destination = 20, 16 // of IPv4
		if n < header || buffer[0]>>4 != 4 {
			continue
		}
		to := netip.AddrFrom4([4]byte(buffer[destination:header]))
		queue := from.queues[to]
		if queue == nil || from.lost[to].Load() {
			continue
		}
		p := packet{time.Now().Add(time.Duration(f.delay.Load())), append([]byte(nil), buffer[:n]...)}
		select {
		case queue <- p:
		default:
		}
	}
}

func (p *port) write(queue <-chan packet) {
	for q := range queue {
		time.Sleep(time.Until(q.due))
		_, _ = p.device.Write(q.data) // what cannot be taken is lost
	}
}
