package intent

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/intent/intentpb"
)

// tellMembers wakes who waits for a change of the servers. The lock is held.
func (f *FSM) tellMembers() {
	close(f.membersNews)
	f.membersNews = make(chan struct{})
}

// members writes servers and tokens, each in their order.
func (o *frameWriter) members(m membership) {
	for _, name := range slices.Sorted(maps.Keys(m.servers)) {
		o.frame(&intentpb.Frame{Part: &intentpb.Frame_Server{Server: m.servers[name]}})
	}
	for _, hash := range slices.Sorted(maps.Keys(m.tokens)) {
		o.frame(&intentpb.Frame{Part: &intentpb.Frame_Token{Token: m.tokens[hash]}})
	}
}

// broken is what a snapshot shows when a test breaks its rules.
func (m membership) broken(rules breakage) membership {
	if rules.has(brokenMembersNotSaved) {
		m.servers = nil
	}
	if rules.has(brokenSpentNotSaved) {
		tokens := map[string]*intentpb.Token{}
		for hash, t := range m.tokens {
			t = proto.CloneOf(t)
			t.Server, t.Folder = "", ""
			tokens[hash] = t
		}
		m.tokens = tokens
	}
	return m
}

// beginMembers takes over what the header says. A snapshot of before there were levels is of the first.
func (p *picture) beginMembers() error {
	m := membership{level: max(p.header.GetLevel(), firstLevel), founded: p.header.GetFounded()}
	p.state.members = m
	if knows := p.f.config.Level; m.level > knows {
		return fmt.Errorf("%w: %w", ErrSnapshot, &ErrLevel{Has: m.level, Knows: knows})
	}
	return nil
}

func (p *picture) addServer(s *intentpb.Server) error {
	m := p.state.members
	at := fmt.Sprintf("server %.64q", s.GetName())
	form := checkServer("server", s)
	if s.GetRemoved() { // nothing but its folder is kept
		form = checkRemoved(s)
	}
	switch {
	case p.last != "" || p.answers.len() > 0 || len(m.tokens) > 0 || s.GetName() <= p.lastServer:
		return fmt.Errorf("%w: %s: out of order", ErrSnapshot, at)
	case form != nil:
		return fmt.Errorf("%w: %s: %w", ErrSnapshot, at, form)
	}
	p.lastServer = s.GetName()
	p.state.members = m.with(s)
	return nil
}

func checkRemoved(s *intentpb.Server) error {
	if !proto.Equal(s, &intentpb.Server{Name: s.GetName(), Folder: s.GetFolder(), Removed: true}) {
		return fmt.Errorf("must have a name and a folder alone, since it is removed")
	}
	return checkID("server.folder", s.GetFolder())
}

func (p *picture) addToken(t *intentpb.Token) error {
	hash := string(t.GetToken())
	switch {
	case p.last != "" || p.answers.len() > 0 || hash <= p.lastToken:
		return fmt.Errorf("%w: token %s: out of order", ErrSnapshot, TokenName(t.GetToken()))
	case (t.GetServer() == "") != (t.GetFolder() == ""):
		return fmt.Errorf("%w: token %s: must name server and folder that used it, or neither", ErrSnapshot, TokenName(t.GetToken()))
	}
	if err := checkHash("token", t.GetToken()); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	p.lastToken = hash
	p.state.members = p.state.members.withToken(t)
	return nil
}

func (p *picture) completeMembers() error {
	m := p.state.members
	if servers, tokens := uint64(len(m.servers)), uint64(len(m.tokens)); servers != p.header.GetServers() || tokens != p.header.GetTokens() {
		return fmt.Errorf("%w: %d servers and %d tokens: must be %d and %d, as its header says",
			ErrSnapshot, servers, tokens, p.header.GetServers(), p.header.GetTokens())
	}
	return nil
}
