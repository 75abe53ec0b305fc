package serve

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pentad.dev/pentad/federation/feed"
)

// TestClientsEndEqualToTheFeed: whatever is committed, asked for, refused, delayed or cut, on two relays, a client that
// names what it wants ends with what the feed of its relay says, and so does one that takes everything.
func TestClientsEndEqualToTheFeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := endsEqual(t, faults{}); err != nil {
			t.Fatal(err)
		}
	})
}

var (
	allNames = []string{"a", "b", "c", "server/s", "gone/g"}
	allTypes = []string{ListenerType, RouteType, ClusterType, EndpointType}
)

func endsEqual(t *rapid.T, f faults) error {
	w := newWorld(f, 2)
	w.client(false, 0)
	w.client(false, 0)
	w.client(true, 1)
	bad := make(map[string]bool) // RELAY TYPE NAME
	serial := 0
	if rapid.Bool().Draw(t, "settled") {
		for _, c := range w.clients[:2] {
			for _, url := range allTypes {
				c.subscribe(url, "a", "b")
			}
		}
		w.settle()
	}
	t.Repeat(map[string]func(*rapid.T){
		"commit": func(t *rapid.T) {
			relay := rapid.IntRange(0, 1).Draw(t, "relay")
			var changes []feed.Change
			for range rapid.IntRange(1, 3).Draw(t, "changes") {
				url, name := rapid.SampledFrom(allTypes).Draw(t, "type"), rapid.SampledFrom(allNames).Draw(t, "name")
				id := fmt.Sprint(relay, url, name)
				serial++
				c := feed.Change{Kind: url, Key: name}
				delete(bad, id)
				switch rapid.IntRange(0, 9).Draw(t, "what") {
				case 0, 1:
				case 2:
					// Only those that name things are sent what they refuse: after a refusal a wildcard's content is
					// not known (rule 10), which quarantine will mend.
					if relay == 0 {
						bad[id] = true
						c.Value = fmt.Append(nil, "bad", serial)
						break
					}
					fallthrough
				default:
					c.Value = fmt.Append(nil, rapid.IntRange(1, 3).Draw(t, "content"), "@",
						rapid.IntRange(0, 2).Draw(t, "since"))
				}
				changes = append(changes, c)
			}
			w.commit(relay, changes...)
		},
		"subscribe": func(t *rapid.T) {
			c := w.clients[rapid.IntRange(0, 1).Draw(t, "client")]
			names := rapid.SliceOfNDistinct(rapid.SampledFrom(allNames), 0, 4, rapid.ID).Draw(t, "names")
			c.subscribe(rapid.SampledFrom(allTypes).Draw(t, "type"), names...)
		},
		"serve": func(t *rapid.T) { rapid.SampledFrom(w.clients).Draw(t, "client").serve() },
		"deliver": func(t *rapid.T) {
			c := rapid.SampledFrom(w.clients).Draw(t, "client")
			for range rapid.IntRange(1, 4).Draw(t, "messages") {
				c.deliver()
			}
		},
		"reconnect": func(t *rapid.T) {
			i := rapid.IntRange(0, 2).Draw(t, "client")
			relay := rapid.IntRange(0, 1).Draw(t, "relay")
			if i == 2 {
				relay = 1
			}
			w.clients[i].connect(w.relays[relay])
		},
		"": func(*rapid.T) {},
	})
	w.settle()
	// What is still refused is mended; a client may refuse a name again only because its content changed.
	for relay := range w.relays {
		for _, url := range allTypes {
			for _, name := range allNames {
				if bad[fmt.Sprint(relay, url, name)] {
					w.commit(relay, feed.Change{Kind: url, Key: name, Value: []byte("mended")})
				}
			}
		}
	}
	w.settle()
	// Removals wait for the routes of a client that refused some until the gate lapses, and clients that had newer routes
	// elsewhere for those.
	w.now = w.now.Add(11 * time.Second)
	w.settle()
	if w.broken != "" {
		return errors.New(w.broken)
	}
	for i, c := range w.clients {
		if err := c.equal(); err != nil {
			return fmt.Errorf("client %d: %w", i, err)
		}
	}
	return nil
}

// TestWildcardClientIsNeverWithoutACluster: whatever moves, on a stream that takes clusters as they come, no route ever
// names a cluster that the client does not have, with its endpoints; nothing waits for ever, and no gate has to lapse.
func TestWildcardClientIsNeverWithoutACluster(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := neverWithout(t, faults{}); err != nil {
			t.Fatal(err)
		}
	})
}

func neverWithout(t *rapid.T, f faults) error {
	w := newWorld(f, 1)
	serial := 0
	// generation n of the estate: route r names cluster "cN" only, which has endpoints.
	next := func() []feed.Change {
		old := fmt.Sprint("c", serial)
		serial++
		name := fmt.Sprint("c", serial)
		return []feed.Change{
			{Kind: ClusterType, Key: name, Value: []byte("1")}, {Kind: EndpointType, Key: name, Value: []byte("1")},
			{Kind: RouteType, Key: "r", Value: []byte(name)},
			{Kind: ClusterType, Key: old}, {Kind: EndpointType, Key: old},
		}
	}
	w.commit(0, append(next(), feed.Change{Kind: ListenerType, Key: "l", Value: []byte("r")})...)
	c := w.client(true, 0)
	whole := func() error {
		cluster, ok := c.types[RouteType].cache["r"]
		if !ok || c.types[RouteType].nonce == "" {
			// On a new stream nobody knows what the client holds, until it got its routes: a limit of SotW.
			return nil
		}
		if _, ok := c.types[ClusterType].cache[cluster]; !ok {
			return fmt.Errorf("the route names cluster %s, the client has %v", cluster, c.types[ClusterType].cache)
		}
		if e, ok := c.types[EndpointType].cache[cluster]; !ok || e == missingContent {
			return fmt.Errorf("the route names cluster %s without endpoints", cluster)
		}
		return nil
	}
	var broken error
	look := func() {
		if _, ok := c.types[ListenerType].cache["l"]; ok {
			c.subscribe(RouteType, "r")
		}
		broken = errors.Join(broken, whole())
		if c.core.behind {
			broken = errors.Join(broken, errors.New("a gate lapsed"))
		}
	}
	for rapid.Bool().Draw(t, "settled") {
		w.settle()
		look()
	}
	t.Repeat(map[string]func(*rapid.T){
		"move": func(*rapid.T) { w.commit(0, next()...) },
		"recolor": func(*rapid.T) {
			w.commit(0, feed.Change{Kind: ClusterType, Key: fmt.Sprint("c", serial), Value: fmt.Append(nil, serial)})
		},
		"churn": func(*rapid.T) {
			w.commit(0, feed.Change{Kind: EndpointType, Key: fmt.Sprint("c", serial), Value: fmt.Append(nil, serial)})
		},
		"serve":   func(*rapid.T) { c.serve() },
		"deliver": func(*rapid.T) { c.deliver(); look() },
		"cut":     func(*rapid.T) { c.connect(w.relays[0]) },
		"":        func(*rapid.T) {},
	})
	for range 3 {
		w.settle()
		look()
	}
	if w.broken != "" {
		broken = errors.Join(broken, errors.New(w.broken))
	}
	return errors.Join(broken, c.equal())
}
