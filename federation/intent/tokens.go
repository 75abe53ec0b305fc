package intent

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/federation/intent/intentpb"
)

const (
	// MaxTokenLife is how long a token may be good for.
	MaxTokenLife = 30 * 24 * time.Hour
	// maxTokens bounds the tokens that are remembered.
	maxTokens = 1024
	// keepExpired is how long an expired token is remembered, so that who comes with it hears what is wrong.
	keepExpired = 24 * time.Hour
)

// HashToken is what is replicated of a token: nobody who reads the log or a backup can join with it.
func HashToken(token []byte) []byte {
	sum := sha256.Sum256(token)
	return sum[:]
}

// Tokens are what is known of tokens, those that expire first in front. They must not be changed.
func (f *FSM) Tokens() []*intentpb.Token {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.SortedFunc(maps.Values(f.state.members.tokens), func(a, b *intentpb.Token) int {
		return cmp.Or(cmp.Compare(a.GetExpiresAtUnixMs(), b.GetExpiresAtUnixMs()), slices.Compare(a.GetToken(), b.GetToken()))
	})
}

func checkHash(name string, hash []byte) error {
	if len(hash) != sha256.Size {
		return fmt.Errorf("%s of %d bytes: must be a SHA-256, %d bytes", name, len(hash), sha256.Size)
	}
	return nil
}

func (m membership) withToken(t *intentpb.Token) membership {
	m.tokens = maps.Clone(m.tokens)
	if m.tokens == nil {
		m.tokens = map[string]*intentpb.Token{}
	}
	m.tokens[string(t.GetToken())] = t
	return m
}

func (e *entry) createToken(c *intentpb.CreateToken) (membership, field.ErrorList) {
	m := e.state.members.forget(e.at)
	expires := time.UnixMilli(c.GetExpiresAtUnixMs()).UTC()
	path := field.NewPath("expires")
	switch {
	case !expires.After(e.at):
		return m, field.ErrorList{field.Invalid(path, expires.Format(timeFormat), "must be later than now, "+e.at.Format(timeFormat))}
	case expires.Sub(e.at) > MaxTokenLife:
		return m, field.ErrorList{field.Invalid(path, expires.Format(timeFormat), fmt.Sprintf("must be within %s", MaxTokenLife))}
	case m.tokens[string(c.GetToken())] != nil:
		return m, field.ErrorList{field.Duplicate(field.NewPath("token"), TokenName(c.GetToken()))}
	case len(m.tokens) >= maxTokens:
		return m, field.ErrorList{field.TooMany(field.NewPath("token"), len(m.tokens)+1, maxTokens)}
	}
	return m.withToken(&intentpb.Token{
		Token: c.GetToken(), ExpiresAtUnixMs: c.GetExpiresAtUnixMs(), Creator: c.GetCreator(),
	}), nil
}

// revokeToken keeps the token in mind, so that who comes with it hears why.
func (e *entry) revokeToken(hash []byte) (membership, field.ErrorList) {
	m, path := e.state.members, field.NewPath("token")
	switch t := m.tokens[string(hash)]; {
	case t == nil:
		return m, field.ErrorList{notFound(path, TokenName(hash), "is unknown")}
	case t.GetServer() != "":
		return m, field.ErrorList{field.Invalid(path, TokenName(hash), fmt.Sprintf(
			"was used by server %q already: to take that one out, remove it (pentad member remove)", t.GetServer()))}
	case t.GetRevoked():
		return m, nil // repeated
	default:
		t = proto.CloneOf(t)
		t.Revoked = true
		return m.withToken(t).forget(e.at), nil
	}
}

// spendable is the token that a server may join with, by the command's clock, or has joined with.
func (e *entry) spendable(hash []byte, s *intentpb.Server) (*intentpb.Token, field.ErrorList) {
	path := field.NewPath("token")
	t := e.state.members.tokens[string(hash)]
	switch {
	case t == nil:
		return nil, field.ErrorList{notFound(path, TokenName(hash), "is unknown: ask for a new one (pentad member invite)")}
	case t.GetServer() == s.GetName() && t.GetFolder() == s.GetFolder():
		return t, nil
	case t.GetServer() != "":
		return nil, field.ErrorList{field.Invalid(path, TokenName(hash),
			fmt.Sprintf("was used by server %q already: a token lets one server join", t.GetServer()))}
	case t.GetRevoked() && !e.f.config.broken.has(brokenTokenStillGood):
		return nil, field.ErrorList{field.Invalid(path, TokenName(hash), "was revoked: ask for a new one (pentad member invite)")}
	case t.GetExpiresAtUnixMs() <= e.at.UnixMilli():
		return nil, field.ErrorList{field.Invalid(path, TokenName(hash),
			"expired at "+time.UnixMilli(t.GetExpiresAtUnixMs()).UTC().Format(timeFormat)+": ask for a new one (pentad member invite)")}
	}
	return t, nil
}

// TokenName tells tokens apart without telling them.
func TokenName(hash []byte) string { return fmt.Sprintf("sha256:%.6x", hash) }
