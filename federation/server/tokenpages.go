package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

const (
	// tokenSize is what a token has in bytes.
	tokenSize = 32
	// defaultTokenLife is how long a token is good for when nobody says.
	defaultTokenLife = time.Hour
)

// Token is a token that was created, as the API's page /pentad/tokens says.
type Token struct {
	// Token is the secret; only who creates it sees it, once.
	Token   string    `json:"token,omitempty"`
	Name    string    `json:"name"`
	Expires time.Time `json:"expires"`
	Creator string    `json:"creator,omitempty"`
	// Server has joined with it; empty: it was not used.
	Server string `json:"server,omitempty"`
	// Revoked says that nobody may join with it any more.
	Revoked bool `json:"revoked,omitempty"`
}

// tokens are what is known of all tokens now.
func (s *Core) tokens(ctx context.Context) ([]*intentpb.Token, error) {
	revision, err := s.backend.ReadRevision(ctx)
	if err == nil {
		err = s.machine.WaitRevision(ctx, revision)
	}
	if err != nil {
		return nil, err
	}
	return s.machine.Tokens(), nil
}

func (s *Core) listTokens(w http.ResponseWriter, r *http.Request) {
	known, err := s.tokens(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	all := []Token{}
	for _, t := range known {
		all = append(all, Token{
			Name: intent.TokenName(t.GetToken()), Expires: time.UnixMilli(t.GetExpiresAtUnixMs()).UTC(), Creator: t.GetCreator(),
			Server: t.GetServer(), Revoked: t.GetRevoked(),
		})
	}
	answer(w, all)
}

func (s *Core) createToken(w http.ResponseWriter, r *http.Request) {
	var order struct {
		TTL string `json:"ttl"`
	}
	if err := decodeOrder(w, r, &order); err != nil {
		http.Error(w, fmt.Sprintf(`the body must be {"ttl": DURATION}: %v`, err), http.StatusBadRequest)
		return
	}
	life := defaultTokenLife
	if order.TTL != "" {
		var err error
		if life, err = time.ParseDuration(order.TTL); err != nil || life <= 0 || life > intent.MaxTokenLife {
			http.Error(w, fmt.Sprintf("ttl: %q is no duration of up to %s, as 1h", order.TTL, intent.MaxTokenLife), http.StatusUnprocessableEntity)
			return
		}
	}
	token, err := s.invite(r.Context(), life, callerOf(r))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	s.log.Info("a token was made", "token", token.Name, "expires", token.Expires, "by", token.Creator)
	answer(w, token)
}

// invite makes a token; only its hash is replicated.
func (s *Core) invite(ctx context.Context, life time.Duration, creator string) (Token, error) {
	secret := make([]byte, tokenSize)
	_, _ = rand.Read(secret) // never fails
	now := s.now()
	hash := intent.HashToken(secret)
	result, err := s.backend.Propose(ctx, &intentpb.Command{
		Id: newID(), ProposedAtUnixMs: now.UnixMilli(),
		Operation: &intentpb.Command_CreateToken{CreateToken: &intentpb.CreateToken{
			Token: hash, ExpiresAtUnixMs: now.Add(life).UnixMilli(), Creator: creator,
		}},
	})
	if err == nil && !result.OK {
		err = result.Errors().ToAggregate()
	}
	if err != nil {
		return Token{}, fmt.Errorf("make a token: %w", err)
	}
	return Token{
		Token: base64.RawURLEncoding.EncodeToString(secret), Name: intent.TokenName(hash),
		Expires: now.Add(life).UTC().Truncate(time.Millisecond), Creator: creator,
	}, nil
}

// revokeToken takes the name by which a token is listed: the token itself is for its holder alone.
func (s *Core) revokeToken(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	message, err := s.revoke(r.Context(), name)
	switch {
	case errors.Is(err, errToken):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		s.log.Info("a token was revoked", "token", name, "by", callerOf(r))
		answer(w, map[string]string{"message": message})
	}
}

// errToken says that a token cannot be revoked, and that asking again does not help.
var errToken = errors.New("not revoked")

func (s *Core) revoke(ctx context.Context, name string) (message string, err error) {
	known, err := s.tokens(ctx)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(known, func(t *intentpb.Token) bool { return intent.TokenName(t.GetToken()) == name })
	switch {
	case at < 0:
		return "", fmt.Errorf("token %q: %w: no token has that name (see pentad member tokens)", name, errToken)
	case known[at].GetRevoked():
		return fmt.Sprintf("token %s is revoked already", name), nil
	}
	result, err := s.backend.Propose(ctx, &intentpb.Command{
		Id: newID(), ProposedAtUnixMs: time.Now().UnixMilli(),
		Operation: &intentpb.Command_RevokeToken{RevokeToken: &intentpb.RevokeToken{Token: known[at].GetToken()}},
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("revoke token %s: %w", name, err)
	case !result.OK:
		return "", fmt.Errorf("token %s: %w: %w", name, errToken, result.Errors().ToAggregate())
	}
	return fmt.Sprintf("token %s is revoked: no server can join with it", name), nil
}
