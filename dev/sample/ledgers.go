package sample

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/unitization/permit/stream"
)

// ledgerStore is a Store whose members are ledgers.
type ledgerStore struct{ client *ledger.Client }

// Append implements Store.
func (s ledgerStore) Append(ctx context.Context, write *ledgerpb.Write) error {
	_, err := s.client.Append(ctx, write)
	if errors.Is(err, ledger.ErrNotPrimary) {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}

// Find implements Store.
func (s ledgerStore) Find(ctx context.Context, request *ledgerpb.FindRequest) ([]*ledgerpb.Write, error) {
	found, err := s.client.Find(ctx, request)
	if err != nil {
		return nil, err
	}
	var writes []*ledgerpb.Write
	for _, e := range found.GetEntries() {
		if e.GetWrite() != nil {
			writes = append(writes, e.GetWrite())
		}
	}
	return writes, nil
}

// openStores makes a client of each store that an instance writes to.
func (s *Server) openStores() error {
	s.stores = map[string]Store{}
	for _, store := range s.cfg.Stores {
		used := slices.ContainsFunc(s.cfg.Instances, func(in Instance) bool { return in.Store == store.Name })
		if !used {
			continue
		}
		client, err := ledger.NewClient(ledger.ClientConfig{
			Store: store.Name, Members: s.nearest(store), Dial: s.cut.Dialer(), Patience: storePatience / 2,
		})
		if err != nil {
			return fmt.Errorf("store %s: %w", store.Name, err)
		}
		s.clients = append(s.clients, client)
		s.stores[store.Name] = ledgerStore{client}
	}
	return nil
}

// nearest are the members of a store, this center's own first.
func (s *Server) nearest(store StoreConfig) []ledger.Peer {
	var peers []ledger.Peer
	for _, m := range store.Members {
		peer := ledger.Peer{Member: m.Name, Address: m.GRPC}
		if m.Name == s.cfg.Center {
			peers = slices.Insert(peers, 0, peer)
		} else {
			peers = append(peers, peer)
		}
	}
	return peers
}

// openLedgers opens the members that this process hosts. Their listeners are theirs from then on.
func (s *Server) openLedgers() error {
	for _, l := range s.cfg.Ledgers {
		source, err := s.load(l.Certificates)
		if err != nil {
			return fmt.Errorf("ledger %s: certificates: %w", l.Store, err)
		}
		cfg := ledger.Config{
			Store: l.Store, Member: s.cfg.Center, Dir: l.Dir, Dial: s.cut.Dialer(), Log: s.log,
			Asynchronous: s.cfg.Asynchronous,
			Agents:       peers(s.cfg.Agents, source, identity.RoleAgent),
		}
		grpc, webhook := LedgerListeners(l.Store)
		cfg.Listener, cfg.WebhookListener = s.listeners[grpc], s.listeners[webhook]
		for _, store := range s.cfg.Stores {
			for _, m := range store.Members {
				if store.Name == l.Store && m.Name != s.cfg.Center {
					cfg.Peers = append(cfg.Peers, ledger.Peer{Member: m.Name, Address: m.GRPC})
				}
			}
		}
		member, err := ledger.New(cfg)
		if err != nil {
			return fmt.Errorf("ledger %s: %w", l.Store, err)
		}
		s.ledgers = append(s.ledgers, member)
	}
	return nil
}

// load reads certificates, which Run follows.
func (s *Server) load(files identity.Files) (*identity.Source, error) {
	source, err := identity.Load(files)
	if err == nil {
		s.identities = append(s.identities, source)
	}
	return source, err
}

// peers are whom to ask for permits and rules.
func peers(configured []Peer, source *identity.Source, role identity.Role) []stream.Peer {
	var all []stream.Peer
	for _, p := range configured {
		all = append(all, stream.Peer{Name: p.Name, Address: p.GRPC, TLS: source.Client(role)})
	}
	return all
}
