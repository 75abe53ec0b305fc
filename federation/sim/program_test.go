package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// program is any process but a server, through all its lives: an agent, a relay.
type program struct {
	*estate
	name string // its host's, too
	// begin makes the process; what it returns runs it. dir is its folder, which is kept as it is when it is killed.
	begin func(p *endpoint, dir string) (run func(context.Context) error, err error)
	// disk is what it keeps feeds on, if it does; rnd says what power cuts leave there.
	disk *disk
	rnd  *rand.Rand

	mu       sync.Mutex
	number   int
	endpoint *endpoint
	cancel   context.CancelFunc
	over     chan struct{}
}

// addProgram adds a host with a process that runs from now on.
func (e *estate) addProgram(name, region string, begin func(*endpoint, string) (func(context.Context) error, error)) *program {
	e.net.add(name, region)
	p := &program{estate: e, name: name, begin: begin}
	e.programs[name] = p
	e.names = append(e.names, name)
	return p
}

func (p *program) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endpoint != nil || p.stopped() {
		return
	}
	p.number++
	dir := filepath.Join(p.dir, p.name, "life-"+time.Duration(p.number).String())
	p.check(copyFolder(filepath.Join(p.dir, p.name, "kept"), dir))
	endpoint := p.net.endpoint(p.name)
	run, err := p.begin(endpoint, dir)
	if err != nil {
		endpoint.kill(false)
		p.oracle.violated("%s does not start: %v", p.name, err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	p.endpoint, p.cancel, p.over = endpoint, cancel, over
	go func() {
		defer close(over)
		if err := run(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			p.oracle.violated("%s ended: %v", p.name, err)
		}
	}()
}

// kill ends the present life, if there is one, and returns when nothing of it is left.
func (p *program) kill(silently bool) {
	p.mu.Lock()
	endpoint, cancel, over := p.endpoint, p.cancel, p.over
	p.endpoint = nil
	number := p.number
	p.mu.Unlock()
	if endpoint == nil {
		return
	}
	kept := filepath.Join(p.dir, p.name, "kept")
	p.check(os.RemoveAll(kept))
	p.check(copyFolder(filepath.Join(p.dir, p.name, "life-"+time.Duration(number).String()), kept))
	endpoint.kill(silently)
	if p.disk != nil {
		p.disk.powerCut(p.rnd)
	}
	cancel()
	select {
	case <-over:
	case <-time.After(processEndsWithin):
		p.oracle.violated("%s does not end within %s", p.name, processEndsWithin)
		<-over
	}
}

// hosts are the names of all hosts.
func (e *estate) hosts() []string { return append(e.everyone(), e.names...) }
