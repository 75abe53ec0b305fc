package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/unitization/fence/webhook"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

const (
	// tickEvery is how often the permit is looked at while nothing happens.
	tickEvery = 50 * time.Millisecond
	// beatEvery is how often replicas are told what was acknowledged while nothing is written.
	beatEvery = 100 * time.Millisecond
	// queued is how many writes may wait for their batch.
	queued = 4096
)

// Member is one member of a store.
type Member struct {
	cfg    Config
	log    *slog.Logger
	disk   *files
	client *stream.Client
	permit atomic.Pointer[permit.Permit]
	writes chan write

	mu   sync.Mutex
	core *core
	// news is closed and replaced after each change.
	news chan struct{}
	// dead is why the member must end; death is closed then.
	dead  error
	death chan struct{}
}

// New opens the member's folder, which Run gives back. The member begins closed.
func New(cfg Config) (*Member, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = permit.SystemClock()
	}
	if cfg.Now == nil {
		cfg.Now = record.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Member{
		cfg: cfg, log: cfg.Log.With("store", cfg.Store, "center", cfg.Member),
		writes: make(chan write, queued), news: make(chan struct{}), death: make(chan struct{}),
	}
	disk, entries, token, cut, err := openFiles(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("ledger %s of %s: %w", cfg.Member, cfg.Store, err)
	}
	m.disk = disk
	if cut > 0 {
		m.log.Warn("the log's torn tail is cut off: it was never acknowledged", "bytes", cut, "entries", len(entries))
	}
	if err := m.assemble(entries, token); err != nil {
		return nil, errors.Join(err, disk.close())
	}
	return m, nil
}

func (m *Member) assemble(entries []entry, token uint64) (err error) {
	var peers []string
	for _, p := range m.cfg.Peers {
		peers = append(peers, p.Member)
	}
	m.core = newCore(m.cfg.Store, m.cfg.Member, peers, m.disk, entries, token)
	m.core.asynchronous = m.cfg.Asynchronous
	m.core.now, m.core.broken, m.core.permit = m.cfg.Now, m.cfg.broken, m.held
	if m.cfg.gate == nil {
		m.client, err = stream.NewClient(stream.ClientConfig{
			Peers: m.cfg.Agents,
			Open: &permitpb.Open{
				Holder: permitpb.Holder_HOLDER_STORE, Name: m.cfg.Store + "." + m.cfg.Member, Center: m.cfg.Member,
				Stores: []string{m.cfg.Store},
			},
			Holder: holder{m}, Clock: m.cfg.Clock, Dial: m.cfg.Dial, Log: m.log,
		})
		if err != nil {
			return err
		}
	}
	started := Event{What: Started, At: m.cfg.Now(), Store: m.cfg.Store, Member: m.cfg.Member, Token: token}
	m.log.Info("ledger member opened", "token", token, "position", m.core.position().String())
	return m.disk.note(started)
}

// Run serves until ctx ends, or until the disk fails, after which nothing that the member says can be relied on: then
// its error ends the process. When it returns everything that it started has stopped.
func (m *Member) Run(ctx context.Context) error {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(4 << 20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
	if m.cfg.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(m.cfg.TLS)))
	}
	server := grpc.NewServer(options...)
	ledgerpb.RegisterLedgerServer(server, &service{member: m})
	ledgerpb.RegisterReplicationServer(server, &service{member: m})
	orders := &http.Server{Handler: webhook.NewHandler(driver{m}), ReadHeaderTimeout: time.Second}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.untilDeath(ctx) })
	group.Go(func() error { return ignore(server.Serve(m.cfg.Listener), grpc.ErrServerStopped) })
	group.Go(func() error { return ignore(orders.Serve(m.cfg.WebhookListener), http.ErrServerClosed) })
	group.Go(func() error {
		<-ctx.Done()
		server.Stop()
		return orders.Close()
	})
	group.Go(func() error { m.batch(ctx); return nil })
	group.Go(func() error { m.tick(ctx); return nil })
	for _, p := range m.cfg.Peers {
		group.Go(func() error { m.lead(ctx, p); return nil })
	}
	if m.client != nil {
		group.Go(func() error { return m.client.Run(ctx) })
	}
	return errors.Join(group.Wait(), m.shut())
}

// errStopped is what a handler gets that outlived Run: a server that is stopped cuts connections and waits for nobody.
var errStopped = errors.New("this member has stopped")

// shut closes the files, with nobody at them and nobody after.
func (m *Member) shut() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead == nil {
		m.dead = errStopped
	}
	return m.disk.close()
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

func (m *Member) untilDeath(ctx context.Context) error {
	select {
	case <-ctx.Done():
		_ = m.do(func(c *core) { c.stepDown("the member stops"); c.refresh() })
		return nil
	case <-m.death:
		return m.dead
	}
}

// look has f look at the core, and change no more than what links have been sent.
func (m *Member) look(f func(*core)) (news <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead != nil {
		return m.news, m.dead
	}
	f(m.core)
	return m.news, nil
}

// do has f change the core, and wakes whoever waits for changes. The only errors are those that end the member.
func (m *Member) do(f func(*core)) (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead != nil {
		return m.dead
	}
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case diskError:
			err = fmt.Errorf("ledger %s of %s: disk: %w", m.cfg.Member, m.cfg.Store, failed.err)
			m.dead = err
			close(m.death)
		default:
			panic(failed)
		}
		close(m.news)
		m.news = make(chan struct{})
	}()
	f(m.core)
	m.core.refresh()
	return nil
}

// batch puts the writes that wait into the log, as many as there are at a time.
func (m *Member) batch(ctx context.Context) {
	for {
		var all []write
		select {
		case <-ctx.Done():
			return
		case w := <-m.writes:
			all = append(all, w)
		}
		for more := true; more && len(all) < maxBatch; {
			select {
			case w := <-m.writes:
				all = append(all, w)
			default:
				more = false
			}
		}
		if err := m.do(func(c *core) { c.append(all) }); err != nil {
			for _, w := range all {
				w.done(result{err: fmt.Errorf("%w: %w", ErrUnknown, err)})
			}
		}
	}
}

// tick looks at the permit: it may name this member, or have ended.
func (m *Member) tick(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		changes := false
		if _, err := m.look(func(c *core) { changes = c.due() }); err == nil && changes {
			_ = m.do((*core).tick)
		}
	}
}

// holder is the member's side of its permit's stream.
type holder struct{ *Member }

func (h holder) Granted(p *permit.Permit) {
	h.permit.Store(p)
	changes := false
	if _, err := h.look(func(c *core) { changes = c.due() }); err == nil && changes {
		_ = h.do((*core).tick)
	}
}

// Closed names none: a store closes by orders, and by the end of its permit.
func (h holder) Closed() []uint64 { return nil }

func (h holder) Rendered() uint64 { return 0 }

// held is the permit as the core asks for it.
func (m *Member) held() (token uint64, left time.Duration, named bool) {
	if m.cfg.gate != nil {
		token, named = m.cfg.gate()
		return token, time.Second, named
	}
	p := m.permit.Load()
	if p == nil {
		return 0, 0, false
	}
	for _, s := range p.Stores {
		if s.GetStore() == m.cfg.Store {
			return s.GetToken(), p.Left(m.cfg.Clock.Now()), s.GetPrimary() == m.cfg.Member
		}
	}
	return 0, 0, false
}
