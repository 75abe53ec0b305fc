package dev

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/process"
)

const (
	loopback  = "127.0.0.1"
	firstPort = 10_000
	lastPort  = 60_000
	// fewestPorts is how wide the range below the ephemeral ports must be to be used alone.
	fewestPorts = 2_000
	pickTries   = 1_000
)

// ports remembers which port belongs to which listener, in a file.
type ports struct {
	path     string
	from, to int

	mu     sync.Mutex
	byName map[string]int
	taken  map[int]string
}

// openPorts reads the file, or begins an empty one.
func openPorts(path string) (*ports, error) {
	p := &ports{path: path, byName: map[string]int{}, taken: map[int]string{}}
	p.from, p.to = portRange("/proc/sys/net/ipv4/ip_local_port_range")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict(data, &p.byName); err != nil {
		return nil, process.Usagef("ports file %s: %w", path, err)
	}
	for name, number := range p.byName {
		if number < 1 || number > 65535 {
			return nil, process.Usagef("ports file %s: %s: %d is no port (1 to 65535)", path, name, number)
		}
		if other, there := p.taken[number]; there {
			return nil, process.Usagef(
				"ports file %s: %s and %s have the same port %d: each needs its own",
				path,
				name,
				other,
				number,
			)
		}
		p.taken[number] = name
	}
	return p, nil
}

// portRange is below the kernel's ephemeral ports where that is wide enough; see the package comment.
func portRange(file string) (from, to int) {
	data, err := os.ReadFile(file)
	if err == nil {
		if fields := strings.Fields(string(data)); len(fields) == 2 {
			if low, err := strconv.Atoi(fields[0]); err == nil && low >= firstPort+fewestPorts {
				return firstPort, low
			}
		}
	}
	return firstPort, lastPort
}

// address is the listener's address, picked and remembered at the first call.
func (p *ports) address(name string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	number, there := p.byName[name]
	if !there {
		var err error
		if number, err = p.pick(); err != nil {
			return "", fmt.Errorf("port of %s: %w", name, err)
		}
		p.byName[name], p.taken[number] = number, name
	}
	return net.JoinHostPort(loopback, strconv.Itoa(number)), nil
}

func (p *ports) pick() (int, error) {
	for range pickTries {
		number := p.from + rand.IntN(p.to-p.from)
		if _, there := p.taken[number]; there {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(number)))
		if err != nil {
			continue
		}
		return number, listener.Close()
	}
	return 0, process.Usagef("no free port on %s between %d and %d after %d tries", loopback, p.from, p.to, pickTries)
}

// save writes the file; call it after the last new name.
func (p *ports) save() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := yaml.Marshal(p.byName)
	if err != nil {
		return err
	}
	return replaceFile(p.path, data, 0o644)
}

// replaceFile puts a whole new file in the place of an old one: a reader sees one or the other.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	next := path + ".next"
	if err := os.WriteFile(next, data, mode); err != nil {
		return err
	}
	return os.Rename(next, path)
}
