package consensus

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"pentad.dev/pentad/process/loopback"
)

func TestWhoAnswersWhom(t *testing.T) {
	const us, them = "7d444840-9dc0-11d1-b245-5ffdce74fad2", "7d444840-9dc0-11d1-b245-5ffdce74fad3"
	self := func(node, cluster string) parties {
		return parties{identity: func() (string, string, string) { return node, "f-" + node, cluster }}
	}
	// knows is n1 with a table as of a command, listed one whose own table has it as of another one.
	knows := func(folders map[string]string, applied uint64) parties {
		p := self("n1", us)
		p.folderOf, p.applied = func(node string) string { return folders[node] }, func() uint64 { return applied }
		return p
	}
	listed := func(upTo uint64) parties {
		p := self("n2", us)
		p.listed = func() uint64 { return upTo }
		return p
	}
	replaced := map[string]string{"n2": "another"}
	for name, x := range map[string]struct {
		caller, other parties
		means         string
		word          string // in both ends' errors; "" if they talk
	}{
		"members":               {self("n1", us), self("n2", us), "n2", ""},
		"members, nobody meant": {self("n1", us), self("n2", us), "", ""},
		"another cluster":       {self("n1", us), self("n2", them), "n2", them},
		"not enrolled":          {self("n1", us), self("n2", ""), "n2", "not enrolled"},
		"another node":          {self("n1", us), self("n3", us), "n2", "n2 was meant"},
		"the same name":         {self("n1", us), self("n1", us), "", "both are n1"},

		"a folder that is known":               {knows(map[string]string{"n2": "f-n2"}, 7), listed(0), "n2", ""},
		"nobody knows the folder":              {knows(nil, 7), listed(0), "n2", ""},
		"an old disk answers":                  {knows(replaced, 7), listed(3), "n2", "its disk was replaced"},
		"an old disk calls":                    {listed(3), knows(replaced, 7), "n1", "its disk was replaced"},
		"an old disk that knows of it calls":   {listed(0), knows(replaced, 7), "n1", "its disk was replaced"},
		"a new disk, and the table is too old": {knows(replaced, 7), listed(8), "n2", ""},
		"the same, the other way":              {listed(8), knows(replaced, 7), "n1", ""},
	} {
		a, b := net.Pipe()
		received := make(chan error, 1)
		go func() {
			_, err := x.other.receive(b, time.Minute)
			received <- err
		}()
		_, called := x.caller.call(a, x.means, time.Minute)
		for end, err := range map[string]error{"caller": called, "other": <-received} {
			if x.word == "" && err != nil {
				t.Errorf("%s: %s: %v", name, end, err)
			}
			if end == "other" && strings.Contains(name, "old disk answers") {
				continue // who calls finds it out, and hangs up
			}
			if x.word != "" && (!errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), x.word)) {
				t.Errorf("%s: %s: %v: want %v with %q", name, end, err, ErrPeer, x.word)
			}
		}
		a.Close()
		b.Close()
	}
	a, _ := net.Pipe()
	if _, err := self("n1", "").call(a, "n2", time.Second); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("a call from a folder in no cluster: %v, want %v", err, ErrNotEnrolled)
	}
}

func TestGreetingsInPieces(t *testing.T) {
	g := greeting{cluster: uuid.NewString(), node: "n1", folder: uuid.NewString(), listed: 9, means: "n2", refusal: "no"}
	b := g.encode()
	// What follows is raft's and is left alone.
	r := bytes.NewReader(append(bytes.Clone(b), "raft"...))
	if got, err := readGreeting(r); err != nil || got != g || r.Len() != 4 {
		t.Errorf("%+v, %d bytes left: %v", got, r.Len(), err)
	}
	for n := range b {
		if _, err := readGreeting(bytes.NewReader(b[:n])); !errors.Is(err, ErrPeer) {
			t.Errorf("%d of %d bytes: %v, want %v", n, len(b), err, ErrPeer)
		}
	}
	more := append(bytes.Clone(b), 0, 3, 'n', 'e', 'w')
	more[preambleHead-1] += 5
	if got, err := readGreeting(bytes.NewReader(more)); err != nil || got != g {
		t.Errorf("with one string more: %+v: %v", got, err)
	}
	newer := bytes.Clone(b)
	newer[len(preambleMagic)] = 9
	if _, err := readGreeting(bytes.NewReader(newer)); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("a newer version: %v", err)
	}
	long := greeting{refusal: strings.Repeat("x", 1<<20)}
	if got, err := readGreeting(bytes.NewReader(long.encode())); err != nil || len(got.refusal) != refusalMax {
		t.Errorf("a long refusal: %d bytes: %v", len(got.refusal), err)
	}
}

// A node that another cluster has at the address of one of ours is neither filled nor counted, and loses nothing.
func strangerAtOurAddress(t *testing.T, p plants) error {
	ours := newCluster(t, 3, func(_ int, cfg *Config) { cfg.break_ = p })
	defer ours.drop()
	l, _ := ours.put("x", "7")
	gone := ours.others(l)[0]
	ours.stop(gone)
	for i := range 20 { // ours is further, in entries and soon in terms
		ours.put("k", fmt.Sprint(i), gone)
	}

	theirs := &cluster{t: t, ca: ours.ca, links: &links{}}
	stranger := &member{id: gone.id, address: gone.address, fs: newMemFS(), dir: "data"}
	stranger.adjust = func(cfg *Config) { cfg.break_ = p }
	theirs.members, theirs.voters = []*member{stranger}, []Member{{ID: stranger.id, Address: stranger.address}}
	ours.silent(gone)
	begun := time.Now()
	theirs.open(stranger, loopback.Listen(t, gone.address))
	theirs.found(theirs.members)
	theirs.run(stranger)
	defer theirs.drop()
	patience := p.patience(time.Minute, 10*time.Second)
	if err := theirs.writable(patience); err != nil {
		return fmt.Errorf("the stranger's own cluster is gone: %w", err)
	}

	var knocks atomic.Int64
	ours.links.set(func(_, to string, _ any, answer bool) error {
		if to == gone.id && !answer {
			knocks.Add(1)
		}
		return nil
	})
	eventually(t, "ours tries to reach its own", func() bool { return knocks.Load() >= 10 })
	ours.put("x", "8", gone)
	if s := stranger.node.Status(); s.Leader != stranger.id || len(s.Voters) != 1 || stranger.machine.get("x") != "" {
		return fmt.Errorf("the stranger follows %q with %d voters and holds x=%s", s.Leader, len(s.Voters),
			stranger.machine.get("x"))
	}
	if err := theirs.writable(patience); err != nil {
		return err
	}
	since := time.Since(begun)
	for _, m := range ours.leader(gone).node.Members() {
		if m.ID == gone.id && m.Match > 0 && m.LastHeard >= 0 && m.LastHeard < since {
			return fmt.Errorf("the stranger counts: %+v", m)
		}
	}
	return nil
}

// Garbage on an open line is refused and changes nothing, and the others are not disturbed.
func TestGarbageDisturbsNobody(t *testing.T) {
	c := newCluster(t, 3, nil)
	l, _ := c.put("k", "1")
	_, _, term := l.node.Leader()
	_, client := c.ca.issue(t, "n9")
	enrolled := greeting{cluster: c.id, node: "n9", means: l.id}
	for name, b := range map[string][]byte{
		"silence":                          nil,
		"HTTP":                             []byte("GET / HTTP/1.1\r\nHost: pentad\r\n\r\n"),
		"zeros":                            make([]byte, 1<<16),
		"half a greeting":                  enrolled.encode()[:20],
		"too long a one":                   append([]byte(preambleMagic), preambleVersion, 0xff, 0xff),
		"another cluster":                  greeting{cluster: uuid.NewString(), node: "n9", means: l.id}.encode(),
		"no cluster":                       greeting{node: "n9"}.encode(),
		"garbage after a greeting of ours": append(enrolled.encode(), bytes.Repeat([]byte{0xff, 0x00, 0x7f}, 1000)...),
		"a message cut short":              append(enrolled.encode(), 0, 0x8a),
	} {
		before := l.fs.(*memFS).content()
		conn := call(t, l.address, client)
		conn.Write(b)
		conn.CloseWrite()
		conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, conn); err != nil && errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
		// On a slow machine an election may come between, which writes.
		if now := l.node.Status(); !maps.Equal(before, l.fs.(*memFS).content()) && now.Term == term && now.State == "leader" {
			t.Errorf("%s: the disk changed", name)
		}
	}
	c.put("k", "2")
	if _, _, now := c.leader().node.Leader(); now != term {
		t.Logf("term went from %d to %d", term, now) // a slow machine may lose a leader
	}
}

// call calls a member, again if its patience with handshakes ends on a busy machine.
func call(t *testing.T, address string, config *tls.Config) (conn *tls.Conn) {
	t.Helper()
	eventually(t, "a handshake", func() (ok bool) {
		var err error
		conn, err = tls.Dial("tcp", address, config)
		return err == nil
	})
	return conn
}

// A node of ours at the wrong address is not taken for the one that is meant: it would vote twice.
func TestSwappedAddressesAreFound(t *testing.T) {
	c := newCluster(t, 3, nil)
	l, _ := c.put("k", "1")
	f := c.others(l)
	c.stop(f[0])
	for _, m := range c.members {
		m.node.SetAddresses(map[string]string{f[0].id: f[1].address})
	}
	eventually(t, "the leader lost the one that stopped", func() bool {
		for _, m := range c.leader(f[0]).node.Members() {
			if m.ID == f[0].id {
				return m.LastHeard < 0 || m.LastHeard > time.Second
			}
		}
		return false
	})
	c.stop(f[1])
	eventually(t, "one of three leads no more", func() bool { return !l.node.IsLeader() })
	c.start(f[1])
	c.put("k", "2", f[0])
}

func FuzzGreeting(f *testing.F) {
	const id = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
	f.Add(greeting{cluster: id, node: "n1", folder: id, means: "n2"}.encode())
	f.Add(greeting{node: "n2", refusal: "n2 is of another cluster"}.encode())
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(append([]byte(preambleMagic), preambleVersion, 0, 2, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		g, err := readGreeting(r)
		if err != nil {
			if !errors.Is(err, ErrPeer) || g != (greeting{}) {
				t.Errorf("%+v: %v", g, err)
			}
			return
		}
		// What follows the strings that are known is left alone.
		if read := b[:len(b)-r.Len()]; len(g.refusal) <= refusalMax && !bytes.HasPrefix(read[preambleHead:], g.encode()[preambleHead:]) {
			t.Errorf("%q is read as %+v", b, g)
		}
		a := parties{identity: func() (string, string, string) { return "n1", "f", "c" }}.answer(g, nil)
		if agreed := a.refusal == ""; agreed && g.cluster != "c" {
			t.Errorf("agreed with %+v", g)
		}
	})
}
