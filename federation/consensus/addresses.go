package consensus

import (
	"maps"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

// addresses says where members are reached: what SetAddresses said last, then what the configuration says, then what
// the log says. On the wire, in the stored vote and within raft a member is its id.
type addresses struct {
	mu         sync.Mutex
	set, seeds map[string]string
}

func newAddresses(voters []Member) *addresses {
	a := &addresses{seeds: map[string]string{}}
	for _, m := range voters {
		a.seeds[m.ID] = m.Address
	}
	return a
}

// of returns the address of a member, "" if neither SetAddresses nor the configuration told.
func (a *addresses) of(id string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.set[id]; s != "" {
		return s
	}
	return a.seeds[id]
}

// SetAddresses says where members are reached, by id. It replaces what an earlier call said; who is not named is reached
// where the configuration says, or the log. Connections that stand are kept.
func (n *Node) SetAddresses(all map[string]string) {
	n.addresses.mu.Lock()
	defer n.addresses.mu.Unlock()
	n.addresses.set = maps.Clone(all)
}

// address returns where a member is reached, "" if nobody told.
func (n *Node) address(id string) string {
	if s := n.addresses.of(id); s != "" {
		return s
	}
	if r := n.raft.Load(); r != nil {
		for _, s := range r.GetConfiguration().Configuration().Servers {
			if string(s.ID) == id {
				return string(s.Address)
			}
		}
	}
	return ""
}

// target is what raft calls a member's address: who is meant, and where it is reached. Who answers there must be the
// one who is meant, or one voter's answer would count as another's.
func target(id, address string) raft.ServerAddress { return raft.ServerAddress(id + "@" + address) }

// splitTarget takes a target apart; an address alone is one with nobody meant.
func splitTarget(t raft.ServerAddress) (id, address string) {
	if i := strings.LastIndexByte(string(t), '@'); i >= 0 {
		return string(t[:i]), string(t[i+1:])
	}
	return "", string(t)
}

// targets is the raft.ServerAddressProvider.
type targets func(id string) string

// ServerAddr implements raft.ServerAddressProvider.
func (a targets) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if s := a(string(id)); s != "" {
		return target(string(id), s), nil
	}
	return "", errNoAddress
}
