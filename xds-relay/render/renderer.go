package render

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/feed"
)

// maxGone bounds how many names that exist no longer a feed of resources keeps, the oldest going first.
const maxGone = 1024

// ErrRefused is wrapped by the errors of Renderer.Refused.
var ErrRefused = errors.New("every call is refused")

// Renderer keeps a feed of resources equal to a catalog, as one view sees it. In the feed a record's kind is the type
// URL, its key the resource's name, its value the Body. Its work follows what changed: an unchanged resource isn't
// written, an unchanged service not even rendered. It isn't safe for concurrent use, and must be the only writer of
// its feed.
//
// A name that exists no longer, because its service or its port went, gets the content of Absent, which stops the
// traffic that a deletion would leave running; listeners first, endpoints last. It finally disappears from the feed
// when 1,024 others went after it: what Absent answers for it then are the same bytes.
type Renderer struct {
	view   View
	served map[string]rendering
	gone   gone
	failed map[string]Failure
}

// Failure says why a service could not be rendered, and what was served of it before is still served; or why all calls
// to it are refused.
type Failure struct {
	Service string
	Err     error
}

// New returns a renderer for a view; nothing is rendered yet.
func New(v View) (*Renderer, error) {
	if err := v.Validate(); err != nil {
		return nil, fmt.Errorf("renderer: %w", err)
	}
	return &Renderer{view: v, served: map[string]rendering{}, failed: map[string]Failure{}}, nil
}

// View is whom the renderer renders for.
func (r *Renderer) View() View { return r.view }

// Begin renders the whole catalog as the first commit of a new incarnation of the feed. Call it once the catalog holds
// every feed up to its mark: what isn't named here is gone. The error is the feed's; services that cannot be rendered
// are in Failed.
func (r *Renderer) Begin(c *catalog.Catalog, incarnation uint64, log *feed.Log) (feed.Position, error) {
	fresh := Renderer{view: r.view, served: map[string]rendering{}, failed: map[string]Failure{}}
	var whole []feed.Change
	for _, name := range c.Names() {
		s, _ := c.Service(name)
		now, ok := fresh.render(name, s)
		if !ok {
			continue
		}
		fresh.served[name] = now
		for _, res := range now.all() {
			whole = append(whole, change(res))
		}
	}
	at, err := log.Begin(incarnation, whole)
	if err != nil {
		return at, fmt.Errorf("render: %w", err)
	}
	*r = fresh
	return at, nil
}

// Update renders the changed services and writes what came out different in one commit; nothing different, no commit.
// It returns the feed's position. The error is the feed's, and then nothing has changed; services that cannot be
// rendered are in Failed.
func (r *Renderer) Update(c *catalog.Catalog, changed []string, log *feed.Log) (feed.Position, error) {
	u := update{gone: r.gone.share(), served: map[string]rendering{}}
	for _, name := range changed {
		var now rendering
		if s, ok := c.Service(name); ok {
			if now, ok = r.render(name, s); !ok {
				continue
			}
		} else {
			delete(r.failed, name)
		}
		u.replace(name, r.served[name], now, r.view)
	}
	u.forget()
	at, err := log.Commit(u.changes...)
	if err != nil {
		return at, fmt.Errorf("render: %w", err)
	}
	for name, now := range u.served {
		if now.service == nil {
			delete(r.served, name)
		} else {
			r.served[name] = now
		}
	}
	r.gone = u.gone
	r.gone.shared = false
	return at, nil
}

// Failed are the services that cannot be rendered as they are now, by name.
func (r *Renderer) Failed() []Failure {
	return slices.SortedFunc(maps.Values(r.failed), func(a, b Failure) int { return cmp.Compare(a.Service, b.Service) })
}

// Refused are the services with units of which every call is refused, and why, by name: the records do not tell who
// owns their shards, or the routes would be too many. It looks at all services.
func (r *Renderer) Refused() []Failure {
	var out []Failure
	for name, now := range r.served {
		if now.refused != "" {
			out = append(out, Failure{Service: name, Err: fmt.Errorf("%w: %s", ErrRefused, now.refused)})
		}
	}
	slices.SortFunc(out, func(a, b Failure) int { return cmp.Compare(a.Service, b.Service) })
	return out
}

func (r *Renderer) render(name string, s *catalog.Service) (rendering, bool) {
	now, err := render(r.served[name], s, r.view)
	for _, res := range now.all() {
		// One resource too large for the feed must not hold up everybody's commit.
		if n := len(res.Body); n > feed.MaxValue {
			err = fmt.Errorf("%s %q: %w: %d bytes, at most %d", res.Type, res.Name, feed.ErrTooLarge, n, feed.MaxValue)
		}
	}
	if err != nil {
		r.failed[name] = Failure{Service: name, Err: err}
		return rendering{}, false
	}
	delete(r.failed, name)
	return now, true
}

// update gathers one commit.
type update struct {
	changes []feed.Change
	served  map[string]rendering
	gone    gone
}

// replace writes what differs between a service's resources before and now.
func (u *update) replace(service string, before, now rendering, v View) {
	u.served[service] = now
	was, is := before.parts(), now.parts()
	for i := range is {
		if shared(was[i], is[i]) {
			was[i], is[i] = nil, nil
		}
	}
	u.compare(slices.Concat(was...), slices.Concat(is...), v)
}

// shared says that a part was taken over.
func shared(a, b []Resource) bool { return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] }

func (u *update) compare(before, now []Resource, v View) {
	held := make(map[Name][]byte, len(before))
	for _, res := range before {
		held[Name{res.Type, res.Name}] = res.Body
	}
	for _, res := range now {
		name := Name{res.Type, res.Name}
		body, ok := held[name]
		if !ok {
			u.gone.remove(name)
		}
		if !ok || !bytes.Equal(body, res.Body) {
			u.changes = append(u.changes, change(res))
		}
		delete(held, name)
	}
	// Backwards: what names comes before what is named.
	for _, res := range slices.Backward(before) {
		if name := (Name{res.Type, res.Name}); held[name] != nil {
			u.leave(name, v)
		}
	}
}

// leave gives a name that exists no longer the content that refuses.
func (u *update) leave(name Name, v View) {
	absent, ok := Absent(name.Type, name.Name, v)
	if !ok || v.broken.has(breakGone) {
		u.changes = append(u.changes, feed.Change{Kind: name.Type, Key: name.Name})
		return
	}
	u.changes = append(u.changes, change(absent))
	u.gone.add(name)
}

// forget deletes the names that went longest ago.
func (u *update) forget() {
	for _, name := range u.gone.oldest() {
		u.gone.remove(name)
		u.changes = append(u.changes, feed.Change{Kind: name.Type, Key: name.Name})
	}
}

func change(r Resource) feed.Change { return feed.Change{Kind: r.Type, Key: r.Name, Value: r.Body} }

// gone are the names that exist no longer but are in the feed still, with the order in which they went.
type gone struct {
	turn map[Name]uint64
	next uint64
	// shared says that turn belongs to the state before the update, and must be copied before it is changed.
	shared bool
}

func (g gone) share() gone { return gone{turn: g.turn, next: g.next, shared: true} }

func (g *gone) own() {
	if g.shared || g.turn == nil {
		if g.turn = maps.Clone(g.turn); g.turn == nil {
			g.turn = map[Name]uint64{}
		}
		g.shared = false
	}
}

func (g *gone) add(n Name) {
	g.own()
	g.turn[n] = g.next
	g.next++
}

func (g *gone) remove(n Name) {
	if _, ok := g.turn[n]; ok {
		g.own()
		delete(g.turn, n)
	}
}

// oldest are the names that went first of those beyond the bound.
func (g *gone) oldest() []Name {
	over := len(g.turn) - maxGone
	if over <= 0 {
		return nil
	}
	names := slices.SortedFunc(maps.Keys(g.turn), func(a, b Name) int { return cmp.Compare(g.turn[a], g.turn[b]) })
	return names[:over]
}
