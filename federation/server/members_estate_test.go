package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
)

// comes waits until there is no error any more.
func comes(t *testing.T, what string, is func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patient); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = is(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// operator is a client of these servers' APIs.
func (e *estate) operator(servers ...int) *client.Client {
	e.t.Helper()
	ops := e.source(identity.RoleOperator, "ops", "pentad:admins")
	var endpoints []string
	for _, i := range servers {
		endpoints = append(endpoints, e.configs[i].Listen.API)
	}
	c, err := client.New(client.Config{Endpoints: endpoints, TLS: ops.Client(identity.RoleServer), Timeout: time.Minute})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(c.Close)
	return c
}

// ended waits for a server that ends by itself.
func (e *estate) ended(i int) error {
	e.t.Helper()
	select {
	case err := <-e.done[i]:
		e.servers[i] = nil
		return err
	case <-time.After(patient):
		e.t.Fatalf("server %s goes on", e.configs[i].Name)
		return nil
	}
}

// joiner is a further server that is to join with a token.
func (e *estate) joiner(token string) int {
	e.t.Helper()
	i := len(e.configs)
	config := e.lay(i)
	config.Servers = e.configs[0].Servers
	config.Join = &Join{TokenFile: e.tokenFile(token)}
	return e.add(config)
}

func (e *estate) tokenFile(token string) string {
	e.t.Helper()
	file := filepath.Join(e.t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		e.t.Fatal(err)
	}
	return file
}

func (e *estate) invite(c *client.Client) string {
	e.t.Helper()
	token, err := c.Invite(e.t.Context(), time.Hour)
	if err != nil {
		e.t.Fatal(err)
	}
	return token.Token
}

// order carries an order out, and waits for what it needs.
func (e *estate) order(c *client.Client, name, order string) {
	e.t.Helper()
	comes(e.t, order+" "+name, func() error {
		message, err := c.OrderMember(e.t.Context(), name, order, false)
		e.t.Logf("%s %s: %s %v", order, name, message, err)
		return err
	})
}

// roles waits until the servers are what a map says, by name, and no others.
func (e *estate) roles(c *client.Client, want map[string]string) {
	e.t.Helper()
	comes(e.t, fmt.Sprintf("roles %v", want), func() error {
		members, err := c.Members(e.t.Context())
		if err != nil {
			return err
		}
		got := map[string]string{}
		for _, m := range members.Members {
			got[m.Name] = m.Role
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("they are %v", got)
		}
		return nil
	})
}

// counting is a client that adds one to a number in an object, again and again.
type counting struct {
	name           string
	acked, unknown int
	err            error
	// first is closed when a write was acknowledged.
	first chan struct{}
}

const counterKey = "test/count"

// load counts at these servers until stop; check then says whether a write was lost or was done twice.
func (e *estate) load(c *client.Client, writers int) (check func()) {
	e.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	e.t.Cleanup(stop)
	var group sync.WaitGroup
	var all []*counting
	for i := range writers {
		w := &counting{name: fmt.Sprintf("count-%d", i), first: make(chan struct{})}
		all = append(all, w)
		if _, err := c.Centers().Create(e.t.Context(), center(w.name, "r1"), metav1.CreateOptions{}); err != nil {
			e.t.Fatal(err)
		}
		group.Go(func() { w.run(ctx, c) })
	}
	return func() {
		e.t.Helper()
		for _, w := range all {
			select {
			case <-w.first:
			case <-time.After(patient):
				e.t.Errorf("%s: no write: the test shows nothing", w.name)
			}
		}
		stop()
		group.Wait()
		for _, w := range all {
			got, err := c.Centers().Get(e.t.Context(), w.name, metav1.GetOptions{})
			if err != nil {
				e.t.Fatal(err)
			}
			n, _ := strconv.Atoi(got.Annotations[counterKey])
			e.t.Logf("%s is %d: %d writes were acknowledged, of %d it is unknown", w.name, n, w.acked, w.unknown)
			if n < w.acked || n > w.acked+w.unknown || w.err != nil {
				e.t.Errorf("%s is %d after %d acknowledged writes and %d that may have happened; %v", w.name, n, w.acked, w.unknown, w.err)
			}
		}
	}
}

func (w *counting) run(ctx context.Context, c *client.Client) {
	for ctx.Err() == nil {
		o, err := c.Centers().Get(ctx, w.name, metav1.GetOptions{})
		if err != nil {
			continue
		}
		n, _ := strconv.Atoi(o.Annotations[counterKey])
		if n < w.acked || n > w.acked+w.unknown {
			w.err = fmt.Errorf("a read showed %d after %d acknowledged writes and %d that may have happened", n, w.acked, w.unknown)
			return
		}
		o.Annotations = map[string]string{counterKey: strconv.Itoa(n + 1)}
		switch _, err := c.Centers().Update(ctx, o, metav1.UpdateOptions{}); {
		case err == nil:
			if w.acked++; w.acked == 1 {
				close(w.first)
			}
		case errors.Is(err, client.ErrOutcomeUnknown), ctx.Err() != nil:
			w.unknown++
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestServersJoinArePromotedDemotedAndRemovedUnderLoad(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 3)
	e.leader()
	c := e.operator(0, 1, 2)
	check := e.load(c, 3)
	for range 2 {
		i := e.joiner(e.invite(c))
		e.start(i)
		comes(t, "ready", e.servers[i].ready)
	}
	e.roles(c, map[string]string{"s1": "voter", "s2": "voter", "s3": "voter", "s4": "replica", "s5": "replica"})
	e.order(c, "s4", client.Promote)
	e.order(c, "s5", client.Promote)
	e.roles(c, map[string]string{"s1": "voter", "s2": "voter", "s3": "voter", "s4": "voter", "s5": "voter"})

	leader := e.leader()
	name := e.configs[leader].Name
	e.order(c, name, client.Demote)
	if e.leader() == leader {
		t.Errorf("%s leads without a vote", name)
	}
	e.order(c, name, client.Promote)

	e.order(c, "s2", client.Remove)
	if err := e.ended(1); err != nil {
		t.Errorf("a server that was removed ends with %v", err)
	}
	e.roles(c, map[string]string{"s1": "voter", "s3": "voter", "s4": "voter", "s5": "voter"})
	if message, err := c.OrderMember(t.Context(), "s2", client.Remove, false); err != nil || !strings.Contains(message, "removed already") {
		t.Errorf("removing it again: %q, %v", message, err)
	}
	if _, err := c.OrderMember(t.Context(), "s9", client.Promote, false); !errors.Is(err, client.ErrOrder) ||
		!strings.Contains(err.Error(), `no server of the estate: "s9"`) {
		t.Errorf("promoting nobody: %v", err)
	}
	e.start(1) // with the folder that was removed
	if err := e.ended(1); err != nil {
		t.Errorf("a server that was removed, started again, ends with %v", err)
	}
	check()
	for _, i := range []int{0, 2, 3, 4} {
		if list, err := e.api(i, 20*time.Second).Centers().List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 3 {
			t.Errorf("server %s lists %v, %v", e.configs[i].Name, list, err)
		}
	}
}

func TestALostDiskIsRefusedAndTheServerJoinsAgain(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 3)
	e.leader()
	c := e.operator(0, 1)
	check := e.load(c, 1)
	e.stop(2)
	oldDisk := e.configs[2].DataDir
	e.configs[2].DataDir = t.TempDir()
	e.start(2)
	var usage *process.UsageError
	if err := e.ended(2); !errors.As(err, &usage) || !strings.Contains(err.Error(), "its disk was lost") ||
		!strings.Contains(err.Error(), "pentad member remove s3") {
		t.Fatalf("a server without its disk ends with: %v", err)
	}
	token := e.invite(c)
	e.configs[2].Join, e.configs[2].DataDir = &Join{TokenFile: e.tokenFile(token)}, t.TempDir()
	e.start(2)
	if err := e.ended(2); !errors.As(err, &usage) || !strings.Contains(err.Error(), "remove it first") {
		t.Fatalf("with a token, but not removed, it ends with: %v", err)
	}
	e.order(c, "s3", client.Remove)
	e.roles(c, map[string]string{"s1": "voter", "s2": "voter"})
	e.start(2)
	e.roles(c, map[string]string{"s1": "voter", "s2": "voter", "s3": "replica"})
	e.order(c, "s3", client.Promote)
	e.roles(c, map[string]string{"s1": "voter", "s2": "voter", "s3": "voter"})
	e.stop(0)
	e.leader()
	check() // with the server that came back as one of two
	e.stop(2)
	e.configs[2].Join = nil // it is of no use any more
	e.start(2)
	e.leader()

	// The old disk turns up again, under its name and at its address.
	e.start(0)
	e.roles(c, map[string]string{"s1": "voter", "s2": "voter", "s3": "voter"})
	e.stop(2)
	newDisk := e.configs[2].DataDir
	e.configs[2].DataDir = oldDisk
	e.start(2)
	e.invite(c) // the two others write
	comes(t, "the others hear of s3 no more", func() error {
		for _, i := range []int{0, 1} {
			for _, m := range e.servers[i].node.Members() {
				if m.ID == "s3" && m.LastHeard >= 0 && m.LastHeard < time.Second {
					return fmt.Errorf("s%d heard it %s ago", i+1, m.LastHeard)
				}
			}
		}
		return nil
	})
	if leader, _, _ := e.servers[2].node.Leader(); leader != "" {
		t.Errorf("the old disk follows %s", leader)
	}
	e.stop(2)
	e.configs[2].DataDir = newDisk
	e.start(2)
	e.leader()
}

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
	for _, want := range []string{"is revoked: no server can join with it", "is revoked already"} {
		if message, err := c.Revoke(t.Context(), lost.Name); err != nil || message != "token "+lost.Name+" "+want {
			t.Errorf("revoking it: %q, %v", message, err)
		}
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
	if audit, err := os.ReadFile(filepath.Join(e.configs[0].DataDir, "audit.log")); err != nil ||
		!strings.Contains(string(audit), `"requestURI":"/pentad/tokens/`+lost.Name+`","verb":"delete"`) {
		t.Errorf("the audit log does not name the revocation (%v)", err)
	}
	if err != nil || len(tokens) != 3 || !slices.ContainsFunc(tokens, func(t client.Token) bool { return t.Server == e.configs[i].Name }) {
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
