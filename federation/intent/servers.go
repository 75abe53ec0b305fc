package intent

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/federation/intent/intentpb"
)

// membership is who the servers are, with which tokens others may join, and what all of them know. Its maps are never
// changed, only replaced.
type membership struct {
	// level is the highest level of commands in the log; 0 in a state that was never begun.
	level uint32
	// founded says that from here on servers come with tokens only.
	founded bool
	// servers by name; also those that were removed, so that their folders are known.
	servers map[string]*intentpb.Server
	// tokens by the hash.
	tokens map[string]*intentpb.Token
}

// list is the servers that were not removed, by name.
func (m membership) list() []*intentpb.Server {
	var all []*intentpb.Server
	for _, s := range m.servers {
		if !s.GetRemoved() {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *intentpb.Server) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all
}

// with is m with a server's record replaced.
func (m membership) with(s *intentpb.Server) membership {
	m.servers = maps.Clone(m.servers)
	if m.servers == nil {
		m.servers = map[string]*intentpb.Server{}
	}
	m.servers[s.GetName()] = s
	return m
}

// alone is a membership that has one server and no other past: of an estate that was restored.
func (m membership) alone(self *intentpb.Server) membership {
	return membership{level: m.level, founded: true, servers: map[string]*intentpb.Server{self.GetName(): self}}
}

// Servers are the estate's servers, by name. They must not be changed.
func (f *FSM) Servers() []*intentpb.Server {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.members.list()
}

// Everyone is Servers with those that were removed, which their records say.
func (f *FSM) Everyone() []*intentpb.Server {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.SortedFunc(maps.Values(f.state.members.servers), func(a, b *intentpb.Server) int {
		return cmp.Compare(a.GetName(), b.GetName())
	})
}

// Server is what is known of a name: also of a server that was removed, which its record says. Nil: nothing.
func (f *FSM) Server(name string) *intentpb.Server {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.members.servers[name]
}

// Founded says that servers can join with tokens only: the first ones are all known.
func (f *FSM) Founded() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.members.founded
}

// MembersChanged is closed at the next change of servers, tokens or level.
func (f *FSM) MembersChanged() <-chan struct{} {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.membersNews
}

// Servers are the servers in the picture, by name.
func (v View) Servers() []*intentpb.Server { return v.members.list() }

// Level is the level in the picture.
func (v View) Level() uint32 { return v.members.level }

// member carries out a command about servers.
func (e *entry) member(command *intentpb.Command) field.ErrorList {
	var next membership
	var errs field.ErrorList
	switch o := command.GetOperation().(type) {
	case *intentpb.Command_SetServer:
		next, errs = e.setServer(o.SetServer.GetServer())
	case *intentpb.Command_JoinServer:
		next, errs = e.joinServer(o.JoinServer)
	case *intentpb.Command_RemoveServer:
		next, errs = e.removeServer(o.RemoveServer)
	case *intentpb.Command_CreateToken:
		next, errs = e.createToken(o.CreateToken)
	case *intentpb.Command_RevokeToken:
		next, errs = e.revokeToken(o.RevokeToken.GetToken())
	case *intentpb.Command_RaiseLevel:
		next, errs = e.raiseLevel(o.RaiseLevel.GetLevel())
	default:
		panic("intent: unreachable: decoded commands have an operation that is known")
	}
	if len(errs) > 0 {
		return errs
	}
	e.state.members, e.membersMoved = next, !sameMembers(e.state.members, next)
	return nil
}

// sameMembers compares by content: whether a command changed anything must not hang on what was copied.
func sameMembers(a, b membership) bool {
	return a.level == b.level && a.founded == b.founded &&
		maps.EqualFunc(a.servers, b.servers, func(x, y *intentpb.Server) bool { return x == y || proto.Equal(x, y) }) &&
		maps.EqualFunc(a.tokens, b.tokens, func(x, y *intentpb.Token) bool { return x == y || proto.Equal(x, y) })
}

// setServer takes what a server says of itself, or what an operator wants of it.
func (e *entry) setServer(s *intentpb.Server) (membership, field.ErrorList) {
	m, path := e.state.members, field.NewPath("server")
	have := m.servers[s.GetName()]
	switch {
	case have == nil && m.founded:
		return m, field.ErrorList{notFound(path.Child("name"), s.GetName(), "must be one of the servers: others join with a token")}
	case have.GetRemoved():
		return m, field.ErrorList{field.Invalid(path.Child("name"), s.GetName(),
			"was removed: it comes back with an empty data folder and a token")}
	case have != nil && have.GetFolder() != s.GetFolder() && !e.f.config.broken.has(brokenFolderReplaced):
		return m, field.ErrorList{field.Invalid(path.Child("folder"), s.GetFolder(),
			fmt.Sprintf("must be %q: a server with another data folder has lost its promises: remove it, and let it join with a token",
				have.GetFolder()))}
	}
	if errs := m.validateLevel(path, s); len(errs) > 0 {
		return m, errs
	}
	return m.with(s), nil
}

// validateLevel refuses a server that knows less than the estate: it could not read the log.
func (m membership) validateLevel(path *field.Path, s *intentpb.Server) field.ErrorList {
	if s.GetLevel() >= m.level {
		return nil
	}
	return field.ErrorList{field.Invalid(path.Child("level"), s.GetLevel(),
		fmt.Sprintf("must be at least %d, the estate's: run the version of Pentad that the others run", m.level))}
}

// joinServer spends a token.
func (e *entry) joinServer(j *intentpb.JoinServer) (membership, field.ErrorList) {
	m, path, s := e.state.members, field.NewPath("server"), j.GetServer()
	token, errs := e.spendable(j.GetToken(), s)
	if len(errs) > 0 {
		return m, errs
	}
	switch have := m.servers[s.GetName()]; {
	case have == nil:
	case have.GetRemoved() && have.GetFolder() == s.GetFolder():
		return m, field.ErrorList{field.Invalid(path.Child("folder"), s.GetFolder(),
			"was removed: start the server with an empty data folder")}
	case have.GetRemoved():
	case have.GetFolder() == s.GetFolder() && token.GetServer() == s.GetName() && token.GetFolder() == s.GetFolder():
		return m, nil // repeated
	case have.GetFolder() != s.GetFolder() && e.f.config.broken.has(brokenFolderReplaced):
	default:
		return m, field.ErrorList{field.Invalid(path.Child("name"), s.GetName(),
			fmt.Sprintf("is a server already, with data folder %s: remove it first if it lost its disk", have.GetFolder()))}
	}
	for _, other := range m.list() {
		for _, same := range []struct{ name, mine, theirs string }{
			{"folder", s.GetFolder(), other.GetFolder()}, {"raft", s.GetRaft(), other.GetRaft()}, {"grpc", s.GetGrpc(), other.GetGrpc()},
		} {
			if same.mine == same.theirs && other.GetName() != s.GetName() {
				return m, field.ErrorList{field.Invalid(path.Child(same.name), same.mine,
					fmt.Sprintf("must not be that of server %q", other.GetName()))}
			}
		}
	}
	if errs := m.validateLevel(path, s); len(errs) > 0 {
		return m, errs
	}
	joined := proto.CloneOf(s)
	joined.Voter = false // an operator promotes it
	next := m.with(joined).forget(e.at)
	next.founded = true
	if e.f.config.broken.has(brokenTokenNotSpent) {
		return next, nil
	}
	return next.withToken(&intentpb.Token{
		Token: token.GetToken(), ExpiresAtUnixMs: token.GetExpiresAtUnixMs(), Creator: token.GetCreator(),
		Server: s.GetName(), Folder: s.GetFolder(),
	}), nil
}

// removeServer keeps the folder in mind, so that it is not taken for a server again.
func (e *entry) removeServer(r *intentpb.RemoveServer) (membership, field.ErrorList) {
	m := e.state.members
	have := m.servers[r.GetName()]
	switch {
	case have == nil && m.founded:
		return m, field.ErrorList{notFound(field.NewPath("name"), r.GetName(), "must be one of the servers")}
	case have != nil && have.GetFolder() != r.GetFolder():
		return m, field.ErrorList{field.Invalid(field.NewPath("folder"), r.GetFolder(),
			fmt.Sprintf("must be %q, the data folder of server %q", have.GetFolder(), r.GetName()))}
	case have.GetRemoved():
		return m, nil // repeated
	case have != nil && len(m.list()) == 1:
		return m, field.ErrorList{field.Invalid(field.NewPath("name"), r.GetName(), "is the last server")}
	}
	next := m.with(&intentpb.Server{Name: r.GetName(), Folder: r.GetFolder(), Removed: true})
	next.founded = true
	return next, nil
}

// raiseLevel is proposed when all servers know the level.
func (e *entry) raiseLevel(level uint32) (membership, field.ErrorList) {
	m, path := e.state.members, field.NewPath("level")
	switch behind := m.behind(level); {
	case level < m.level && !e.f.config.broken.has(brokenLevelLowered):
		return m, field.ErrorList{field.Invalid(path, level, fmt.Sprintf("must be at least %d, which the estate has reached", m.level))}
	case len(behind) > 0:
		return m, field.ErrorList{field.Invalid(path, level, fmt.Sprintf("must be known to all servers: %v", behind))}
	case len(m.list()) == 0:
		return m, field.ErrorList{field.Invalid(path, level, "must be known to all servers, and none is known")}
	}
	m.level = level
	return m, nil
}

// forget drops tokens that have expired long ago, by the clock of a command.
func (m membership) forget(at time.Time) membership {
	limit := at.Add(-keepExpired).UnixMilli()
	tokens := map[string]*intentpb.Token{}
	for hash, t := range m.tokens {
		if t.GetExpiresAtUnixMs() > limit {
			tokens[hash] = t
		}
	}
	m.tokens = tokens
	return m
}
