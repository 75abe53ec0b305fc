package consensus

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// A connection begins with one greeting each way, before anything of raft's: the caller says who it is and whom it
// means, the other end says who it is and whether it agrees. Without that, a member of another cluster could be voted
// for by ours, and an address in the wrong place of a configuration makes one voter answer as two.
//
//	magic "PNTDRAFT" | version | length of the rest, 2 bytes | rest: strings, each with its length, 2 bytes
const (
	preambleMagic   = "PNTDRAFT"
	preambleVersion = 1
	preambleHead    = len(preambleMagic) + 1 + 2
	preambleMax     = 8 << 10
	refusalMax      = 1 << 10
)

// greeting is what one end says.
type greeting struct {
	cluster, node, folder string // who says it
	means                 string // caller: the node that it means, if it knows
	refusal               string // other end: why it does not talk, "" if it does
}

func (g greeting) encode() []byte {
	b := append([]byte(preambleMagic), preambleVersion, 0, 0)
	for _, s := range []string{g.cluster, g.node, g.folder, g.means, g.refusal[:min(len(g.refusal), refusalMax)]} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	binary.BigEndian.PutUint16(b[preambleHead-2:], uint16(len(b)-preambleHead))
	return b
}

// readGreeting reads exactly one greeting. What it does not understand is an error that wraps ErrPeer.
func readGreeting(r io.Reader) (g greeting, err error) {
	var head [preambleHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return g, fmt.Errorf("%w: it says nothing: %w", ErrPeer, err)
	}
	if string(head[:len(preambleMagic)]) != preambleMagic {
		return g, fmt.Errorf("%w: it does not speak this protocol: it begins with %q", ErrPeer, head[:len(preambleMagic)])
	}
	if v := head[len(preambleMagic)]; v != preambleVersion {
		return g, fmt.Errorf("%w: it speaks version %d of the protocol, this program speaks %d", ErrPeer, v, preambleVersion)
	}
	size := binary.BigEndian.Uint16(head[preambleHead-2:])
	if size > preambleMax {
		return g, fmt.Errorf("%w: it sends a greeting of %d bytes", ErrPeer, size)
	}
	rest := make([]byte, size)
	if _, err := io.ReadFull(r, rest); err != nil {
		return g, fmt.Errorf("%w: its greeting is cut short: %w", ErrPeer, err)
	}
	for _, s := range []*string{&g.cluster, &g.node, &g.folder, &g.means, &g.refusal} {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return greeting{}, fmt.Errorf("%w: its greeting is garbage", ErrPeer)
		}
		n := int(binary.BigEndian.Uint16(rest))
		*s, rest = string(rest[2:2+n]), rest[2+n:]
	}
	if len(rest) > 0 {
		return greeting{}, fmt.Errorf("%w: its greeting is garbage", ErrPeer)
	}
	return g, nil
}

// parties are the two ends of a connection, as this node sees them.
type parties struct {
	identity func() (node, folder, cluster string)
	trust    bool // tests only: agree with everyone
}

// answer is the greeting with which this node answers a caller's.
func (p parties) answer(caller greeting) greeting {
	var g greeting
	g.node, g.folder, g.cluster = p.identity()
	switch {
	case p.trust:
	case g.cluster == "":
		g.refusal = fmt.Sprintf("%s is not enrolled in a cluster", g.node)
	case caller.cluster != g.cluster:
		g.refusal = fmt.Sprintf("%s is of cluster %s, %s of cluster %q", g.node, g.cluster, caller.node, caller.cluster)
	case caller.node == g.node:
		g.refusal = fmt.Sprintf("both are %s, with the folders %s and %s", g.node, g.folder, caller.folder)
	case caller.means != "" && caller.means != g.node:
		g.refusal = fmt.Sprintf("%s was meant, this is %s", caller.means, g.node)
	}
	return g
}

// receive exchanges greetings with a caller. An error means that the connection is of no use.
func (p parties) receive(c net.Conn, timeout time.Duration) error {
	c.SetDeadline(time.Now().Add(timeout))
	caller, err := readGreeting(c)
	if err != nil {
		return err
	}
	mine := p.answer(caller)
	if _, err := c.Write(mine.encode()); err != nil {
		return err
	}
	if mine.refusal != "" {
		return fmt.Errorf("%w: %s", ErrPeer, mine.refusal)
	}
	return c.SetDeadline(time.Time{})
}

// call exchanges greetings with whom this node called; means is its id, if known.
func (p parties) call(c net.Conn, means string, timeout time.Duration) error {
	c.SetDeadline(time.Now().Add(timeout))
	mine := greeting{means: means}
	mine.node, mine.folder, mine.cluster = p.identity()
	if mine.cluster == "" && !p.trust {
		return ErrNotEnrolled
	}
	if _, err := c.Write(mine.encode()); err != nil {
		return err
	}
	other, err := readGreeting(c)
	switch {
	case err != nil:
		return err
	case p.trust:
	case other.refusal != "":
		return fmt.Errorf("%w: it says: %s", ErrPeer, other.refusal)
	case other.cluster != mine.cluster:
		return fmt.Errorf("%w: %s is of cluster %q, this node of %s", ErrPeer, other.node, other.cluster, mine.cluster)
	case means != "" && other.node != means:
		return fmt.Errorf("%w: %s was meant, %s answers", ErrPeer, means, other.node)
	}
	return c.SetDeadline(time.Time{})
}
