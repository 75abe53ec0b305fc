package intent

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// memberCommand is a random command about servers: few names, few folders and few tokens, so that they meet.
func (w *traffic) memberCommand(view View) *intentpb.Command {
	c := w.command0()
	m := view.members
	server := w.someServer()
	if have := m.servers[server.GetName()]; have != nil && !chance(w.rnd, 4) {
		server.Folder = have.GetFolder()
	}
	switch n := w.rnd.IntN(17); {
	case n < 4:
		c.Operation = &intentpb.Command_SetServer{SetServer: &intentpb.SetServer{Server: server}}
	case n < 8:
		server.Name, server.Folder = fmt.Sprintf("s%d", w.rnd.IntN(6)), folderOf(w.rnd.IntN(10))
		hash := tokenHash(w.rnd.IntN(6))
		if unspent := w.unspent(m); len(unspent) > 0 && chance(w.rnd, 2) {
			hash = unspent[w.rnd.IntN(len(unspent))]
		}
		c.Operation = &intentpb.Command_JoinServer{JoinServer: &intentpb.JoinServer{Server: server, Token: hash}}
	case n < 10:
		c.Operation = &intentpb.Command_RemoveServer{RemoveServer: &intentpb.RemoveServer{Name: server.GetName(), Folder: server.GetFolder()}}
	case n == 16:
		c.Operation = &intentpb.Command_RevokeToken{RevokeToken: &intentpb.RevokeToken{Token: tokenHash(w.rnd.IntN(6))}}
	case n < 13:
		expires := c.GetProposedAtUnixMs() + int64(w.rnd.IntN(7200_000)) - 600_000
		c.Operation = &intentpb.Command_CreateToken{CreateToken: &intentpb.CreateToken{
			Token: tokenHash(w.rnd.IntN(6)), ExpiresAtUnixMs: expires, Creator: "ops",
		}}
	case n < 15:
		c.Operation = &intentpb.Command_RaiseLevel{RaiseLevel: &intentpb.RaiseLevel{Level: uint32(1 + w.rnd.IntN(3))}}
	case chance(w.rnd, 2):
		estate := &v1alpha1.Estate{}
		estate.Name = "estate"
		value := toJSON(w.fresh(estate, view.Lookup()))
		c.Operation = &intentpb.Command_Create{Create: &intentpb.Create{Kind: v1alpha1.KindEstate, Name: "estate", Value: value}}
	default:
		c.Operation = &intentpb.Command_SetLiveness{SetLiveness: &intentpb.SetLiveness{
			Clusters: []*intentpb.ClusterLiveness{{Cluster: "k1", Uid: string(w.uid()), Expired: true}},
		}}
	}
	return c
}

// command0 is a command at a random time of the day that the tests play in.
func (w *traffic) command0() *intentpb.Command {
	c := w.author.command()
	if w.n > 1 { // the first begins the incarnation
		c.ProposedAtUnixMs += int64(w.rnd.IntN(3600_000))
	}
	return c
}

func (w *traffic) unspent(m membership) (hashes [][]byte) {
	for _, hash := range slices.Sorted(maps.Keys(m.tokens)) {
		if m.tokens[hash].GetServer() == "" {
			hashes = append(hashes, []byte(hash))
		}
	}
	return hashes
}

func (w *traffic) someServer() *intentpb.Server {
	n := w.rnd.IntN(5)
	level := uint32(3)
	if chance(w.rnd, 4) {
		level = uint32(1 + w.rnd.IntN(2))
	}
	s := aServer(fmt.Sprintf("s%d", n), w.rnd.IntN(10))
	s.Level, s.Voter = level, chance(w.rnd, 2)
	return s
}

func aServer(name string, folder int) *intentpb.Server {
	return &intentpb.Server{
		Name: name, Region: "r1", Center: "c1", Folder: folderOf(folder), Raft: name + ".example:7000", Grpc: name + ".example:7001",
		Api: name + ".example:7002", Level: Level, Version: "test",
	}
}

func folderOf(n int) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(fmt.Sprint("folder", n))).String()
}

func tokenHash(n int) []byte { return HashToken([]byte(fmt.Sprint("token", n))) }

// ledger is what the tests remember of servers and tokens, apart from the state machine.
type ledger struct {
	// spent are the server and the folder that each token let in, by hash and by the time it was made.
	spent map[string]string
	made  map[string]int64 // by hash: when it expires
	// revoked are those that may let nobody in.
	revoked map[string]bool
}

func newLedger() *ledger {
	return &ledger{spent: map[string]string{}, made: map[string]int64{}, revoked: map[string]bool{}}
}

// judge checks an accepted command against the rules, with views of before and after.
func (l *ledger) judge(c *intentpb.Command, before, after View) error {
	was, now := before.members, after.members
	if now.level < was.level {
		return fmt.Errorf("the level went from %d to %d", was.level, now.level)
	}
	if (c.GetSetLiveness() != nil || c.GetCreate().GetKind() == v1alpha1.KindEstate) && was.level < 2 {
		return fmt.Errorf("a command of level 2 was accepted at level %d", was.level)
	}
	if r := c.GetRaiseLevel(); r != nil {
		for _, s := range was.list() {
			if s.GetLevel() < r.GetLevel() {
				return fmt.Errorf("the level was raised to %d, server %s knows %d", r.GetLevel(), s.GetName(), s.GetLevel())
			}
		}
	}
	for name, s := range was.servers {
		n := now.servers[name]
		switch {
		case n == nil:
			return fmt.Errorf("server %s was forgotten", name)
		case !s.GetRemoved() && !n.GetRemoved() && s.GetFolder() != n.GetFolder():
			return fmt.Errorf("the folder of server %s went from %s to %s without its removal", name, s.GetFolder(), n.GetFolder())
		case s.GetRemoved() && !n.GetRemoved() && s.GetFolder() == n.GetFolder():
			return fmt.Errorf("server %s came back with the folder that was removed", name)
		}
	}
	if t := c.GetCreateToken(); t != nil {
		l.made[string(t.GetToken())] = t.GetExpiresAtUnixMs()
		delete(l.spent, string(t.GetToken())) // forgotten, or it would have been refused
		delete(l.revoked, string(t.GetToken()))
	}
	if r := c.GetRevokeToken(); r != nil {
		if was.level < 3 {
			return fmt.Errorf("a command of level 3 was accepted at level %d", was.level)
		}
		if by, spent := l.spent[string(r.GetToken())]; spent {
			return fmt.Errorf("a token that let %s in was revoked", by)
		}
		l.revoked[string(r.GetToken())] = true
	}
	if j := c.GetJoinServer(); j != nil && !proto.Equal(was.servers[j.GetServer().GetName()], now.servers[j.GetServer().GetName()]) {
		hash, who := string(j.GetToken()), j.GetServer().GetName()+"/"+j.GetServer().GetFolder()
		if l.revoked[hash] {
			return fmt.Errorf("a token that was revoked let %s in", who)
		}
		if by, twice := l.spent[hash]; twice {
			return fmt.Errorf("a token that let %s in let %s in, too", by, who)
		}
		if expires, known := l.made[hash]; !known || expires <= c.GetProposedAtUnixMs() {
			return fmt.Errorf("%s joined with a token that is unknown (%t) or expired at %d, at %d", who, !known, expires, c.GetProposedAtUnixMs())
		}
		l.spent[hash] = who
		if now.servers[j.GetServer().GetName()].GetVoter() {
			return fmt.Errorf("%s joined with a vote", who)
		}
	}
	if !sameMembers(was, now) && after.Revision() == before.Revision() {
		return fmt.Errorf("the servers changed, the revision stayed %d: who waits by revision misses it", after.Revision())
	}
	return nil
}
