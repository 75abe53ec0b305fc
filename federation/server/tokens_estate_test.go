package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/process"
)

func TestATokenLetsOneServerInOnce(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 1)
	e.leader()
	c := e.operator(0)
	refused := func(what, token, want string) {
		t.Helper()
		i := e.joiner(token)
		e.start(i)
		var usage *process.UsageError
		if err := e.ended(i); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: it ends with: %v; want %q", what, err, want)
		}
	}
	refused("unknown", strings.Repeat("A", 43), "is unknown")
	refused("no token", "secret", "holds no token")
	short, err := c.Invite(t.Context(), 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(short.Expires) + 10*time.Millisecond)
	refused("expired", short.Token, "expired at")

	comes(t, "level of revocation", func() error {
		if level := e.servers[0].machine.Level(); level < 3 {
			return fmt.Errorf("it is %d", level)
		}
		return nil
	})
	lost, err := c.Invite(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for range 2 {
		message, err := c.Revoke(t.Context(), lost.Name)
		check(t, err)
		told = append(told, message)
	}
	refused("revoked", lost.Token, "was revoked")
	if _, err := c.Revoke(t.Context(), lost.Token); !errors.Is(err, client.ErrOrder) || !strings.Contains(err.Error(), "no token has that name") {
		t.Errorf("revoking what is no token's name: %v", err)
	}

	token := e.invite(c)
	i := e.joiner(token)
	e.start(i)
	comes(t, "ready", e.servers[i].ready)
	refused("used", token, "was used by server "+strconv.Quote(e.configs[i].Name))
	tokens, err := c.Tokens(t.Context())
	used := slices.IndexFunc(tokens, func(t client.Token) bool { return t.Server != "" })
	if used < 0 {
		t.Fatalf("no token was used: %+v", tokens)
	}
	if _, err := c.Revoke(t.Context(), tokens[used].Name); !errors.Is(err, client.ErrOrder) || !strings.Contains(err.Error(), "pentad member remove") {
		t.Errorf("revoking a token that was used: %v", err)
	}
	asked := 0
	comes(t, "revocations in the audit log", func() error { // they are written when the answers are on their way
		audit, err := os.ReadFile(filepath.Join(e.configs[0].DataDir, "audit.log"))
		if asked = strings.Count(string(audit), `"requestURI":"/pentad/tokens/`+lost.Name+`","verb":"delete"`); asked < len(told) {
			return fmt.Errorf("%d are named, %v", asked, err)
		}
		return nil
	})
	first, again := "token "+lost.Name+" is revoked: no server can join with it", "token "+lost.Name+" is revoked already"
	if told[1] != again || told[0] != first && (told[0] != again || asked == 2) { // an answer that was late is asked for again
		t.Errorf("revoking it, asked for %d times: %q", asked, told)
	}
	listed := func(name string) bool {
		return slices.ContainsFunc(tokens, func(t client.Token) bool { return t.Name == name })
	}
	if err != nil || !listed(short.Name) || !listed(lost.Name) || tokens[used].Server != e.configs[i].Name {
		t.Errorf("the tokens are %+v, %v", tokens, err)
	}
	for _, known := range tokens {
		if known.Token != "" || strings.Contains(known.Name, token) {
			t.Errorf("a secret is told: %+v", known)
		}
	}
	if _, err := c.Invite(t.Context(), 1000*time.Hour); !errors.Is(err, client.ErrOrder) || !strings.Contains(err.Error(), `ttl: "1000h0m0s"`) {
		t.Errorf("a token for 1000 h: %v", err)
	}
}
