package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	c, err := client.New(client.Config{Endpoints: endpoints, TLS: ops.Client(identity.RoleServer), Timeout: patient})
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
	without := map[string]string{"s1": "voter", "s2": "voter", "s3": "voter", "s4": "voter", "s5": "voter"}
	without[name] = "replica"
	e.roles(c, without)
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
		if list, err := e.api(i, patient).Centers().List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 3 {
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
