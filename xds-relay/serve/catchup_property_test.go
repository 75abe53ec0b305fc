package serve

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pentad.dev/pentad/federation/feed"
)

// TestClientsAreNotTakenBack: relays that follow one history, each as far as it got, and clients to which they are one
// server and that move among them. No client is given an older owner than it had, unless it waited for all of CatchUp;
// no wait is longer; nothing but the routes waits; and in the end everyone has what its relay says.
func TestClientsAreNotTakenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := neverBack(t, faults{}); err != nil {
			t.Fatal(err)
		}
	})
}

// traveller is a client and when it came to its present relay.
type traveller struct {
	*modelClient
	came time.Time
}

func neverBack(t *rapid.T, f faults) error {
	const relays = 3
	w := newWorld(f, relays)
	var history [][]feed.Change
	var reached [relays]int
	advance := func(relay, to int) {
		for ; reached[relay] < to; reached[relay]++ {
			w.commit(relay, history[reached[relay]]...)
		}
	}
	happen := func(names ...string) {
		at := len(history) + 1
		var changes []feed.Change
		for _, name := range names {
			changes = append(changes, feed.Change{Kind: RouteType, Key: name, Value: fmt.Append(nil, "at@", at)},
				feed.Change{Kind: EndpointType, Key: name, Value: fmt.Append(nil, at)})
		}
		history = append(history, changes)
	}
	happen("a", "b", "c")
	var clients []*traveller
	for i := range relays {
		advance(i, 1)
		c := &traveller{w.client(false, i), w.now}
		c.oneURI = true
		c.subscribe(RouteType, "a", "b")
		c.subscribe(EndpointType, "a")
		clients = append(clients, c)
	}
	w.settle()
	drawn := func(t *rapid.T) *traveller { return rapid.SampledFrom(clients).Draw(t, "client") }
	var broken error
	check := func(c *traveller, had map[string]string) {
		broken = errors.Join(broken, c.check(had))
	}
	t.Repeat(map[string]func(*rapid.T){
		"happen": func(t *rapid.T) {
			happen(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 2, rapid.ID).Draw(t, "names")...)
		},
		"advance": func(t *rapid.T) {
			relay := rapid.IntRange(0, relays-1).Draw(t, "relay")
			advance(relay, rapid.IntRange(reached[relay], len(history)).Draw(t, "to"))
		},
		"move": func(t *rapid.T) {
			c := drawn(t)
			c.connect(w.relays[rapid.IntRange(0, relays-1).Draw(t, "relay")])
			c.came = w.now
		},
		"subscribe": func(t *rapid.T) {
			drawn(t).subscribe(RouteType,
				rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 3, rapid.ID).Draw(t, "names")...)
		},
		"pass": func(t *rapid.T) {
			w.now = w.now.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second}).Draw(t, "time"))
		},
		"serve": func(t *rapid.T) {
			c := drawn(t)
			c.serve()
			check(c, nil)
		},
		"deliver": func(t *rapid.T) {
			c := drawn(t)
			had := maps.Clone(c.types[RouteType].cache)
			c.deliver()
			check(c, had)
		},
		"": func(*rapid.T) {},
	})
	w.settle()
	w.now = w.now.Add(maxCatchUp)
	w.settle()
	for _, c := range clients {
		broken = errors.Join(broken, c.check(nil), c.equal())
	}
	if w.broken != "" {
		broken = errors.Join(broken, errors.New(w.broken))
	}
	return broken
}

// check holds a client against what it had before a response, nil if there was none, and its stream against the clock.
func (c *traveller) check(had map[string]string) error {
	routes, waited := c.core.types[RouteType], c.world.now.Sub(c.came)
	if routes == nil {
		return nil
	}
	if miss := routes.miss; miss != nil && (miss.Had >= miss.Shown || miss.At.Sub(c.came) < maxCatchUp) {
		return fmt.Errorf("missed %+v; the client came at %v", *miss, c.came)
	}
	for name, now := range c.types[RouteType].cache {
		before := scriptSince(RouteType, []byte(had[name]))
		if since := scriptSince(RouteType, []byte(now)); since < before && routes.miss == nil {
			return fmt.Errorf("%s from %d back to %d after %v", name, before, since, waited)
		}
	}
	if had != nil {
		return nil
	}
	// The stream just had a look.
	for _, sub := range c.core.order {
		room := 1
		if sub.kind.urgent {
			room = maxFlight
		}
		if owed := len(sub.due) > 0 && len(sub.flight) < room; owed && sub != routes {
			return fmt.Errorf("%s is held up: %v", sub.kind.label, slices.Collect(maps.Keys(sub.due)))
		} else if owed && sub.wait != nil && !c.world.now.Before(sub.wait.until) {
			return fmt.Errorf("routes are still held up after %v", waited)
		} else if owed && sub.wait == nil {
			return errors.New("routes are held up without a reason")
		}
	}
	return nil
}
