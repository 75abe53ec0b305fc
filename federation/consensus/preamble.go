package consensus

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// A connection begins with one greeting each way, before anything of raft's: the caller says who it is and whom it
// means, the other end says who it is and whether it agrees. Without that, a member of another cluster could be voted
// for by ours, and an address in the wrong place of a configuration makes one voter answer as two. Each end holds what
// the other one says of itself to its certificate, and to the data folder that its name is known with.
//
//	magic "PNTDRAFT" | version | length of the rest, 2 bytes | rest: strings, each with its length, 2 bytes
//
// The greeting is append-only: what follows the strings that this program knows is left alone. Another version byte
// would cut off a server that is upgraded alone.
const (
	preambleMagic   = "PNTDRAFT"
	preambleVersion = 2
	preambleHead    = len(preambleMagic) + 1 + 2
	preambleMax     = 8 << 10
	refusalMax      = 1 << 10
)

// greeting is what one end says.
type greeting struct {
	cluster, node, folder string // who says it
	listed                uint64 // up to which command it knows that its folder is the one of its name: see standings
	means                 string // caller: the node that it means, if it knows
	refusal               string // other end: why it does not talk, "" if it does
}

func (g greeting) encode() []byte {
	b := append([]byte(preambleMagic), preambleVersion, 0, 0)
	listed := strconv.FormatUint(g.listed, 10)
	for _, s := range []string{g.cluster, g.node, g.folder, listed, g.means, g.refusal[:min(len(g.refusal), refusalMax)]} {
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
	var listed string
	for _, s := range []*string{&g.cluster, &g.node, &g.folder, &listed, &g.means, &g.refusal} {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return greeting{}, fmt.Errorf("%w: its greeting is garbage", ErrPeer)
		}
		n := int(binary.BigEndian.Uint16(rest))
		*s, rest = string(rest[2:2+n]), rest[2+n:]
	}
	if g.listed, err = strconv.ParseUint(listed, 10, 64); err != nil || strconv.FormatUint(g.listed, 10) != listed {
		return greeting{}, fmt.Errorf("%w: its greeting is garbage", ErrPeer)
	}
	return g, nil
}

// parties are the two ends of a connection, as this node sees them.
type parties struct {
	identity func() (node, folder, cluster string)
	listed   func() uint64                                // as in a greeting
	applied  func() uint64                                // the last command that this node applied
	folderOf func(node string) string                     // "" if it is not known; nil: of nobody
	certOf   func(cert *x509.Certificate) (string, error) // whose certificate it is; nil: anyone's
	trust    bool                                         // tests only: agree with everyone

	trustSenders bool // tests only: do not compare who sends a message with who is at the connection's other end
}

// self is what this node says of itself.
func (p parties) self() (g greeting) {
	g.node, g.folder, g.cluster = p.identity()
	if p.listed != nil {
		g.listed = p.listed()
	}
	return g
}

// impostor says why the other end of a connection is not who it says that it is, "" if it is.
func (p parties) impostor(g greeting, c net.Conn) string {
	encrypted, ok := c.(*tls.Conn)
	if p.certOf == nil || !ok {
		return ""
	}
	owner, err := p.certOf(encrypted.ConnectionState().PeerCertificates[0])
	switch {
	case err != nil:
		return fmt.Sprintf("it says that it is %s, and its certificate names no node: %v", g.node, err)
	case owner != g.node:
		return fmt.Sprintf("it says that it is %s, its certificate is that of %s", g.node, owner)
	}
	return ""
}

// answer is the greeting with which this node answers a caller's.
func (p parties) answer(caller greeting, c net.Conn) greeting {
	g := p.self()
	switch impostor, replaced := p.impostor(caller, c), p.replaced(caller); {
	case p.trust:
	case g.cluster == "":
		g.refusal = fmt.Sprintf("%s is not enrolled in a cluster", g.node)
	case caller.cluster != g.cluster:
		g.refusal = fmt.Sprintf("%s is of cluster %s, %s of cluster %q", g.node, g.cluster, caller.node, caller.cluster)
	case caller.node == g.node:
		g.refusal = fmt.Sprintf("both are %s, with the folders %s and %s", g.node, g.folder, caller.folder)
	case caller.means != "" && caller.means != g.node:
		g.refusal = fmt.Sprintf("%s was meant, this is %s", caller.means, g.node)
	case impostor != "":
		g.refusal = impostor
	case replaced != "":
		g.refusal = replaced
	}
	return g
}

// sender is whose messages a caller's connection carries, empty if nobody is to look.
func (p parties) sender(caller greeting) string {
	if p.trust || p.trustSenders {
		return ""
	}
	return caller.node
}

// receive exchanges greetings with a caller. An error means that the connection is of no use.
func (p parties) receive(c net.Conn, timeout time.Duration) (caller greeting, err error) {
	c.SetDeadline(time.Now().Add(timeout))
	if caller, err = readGreeting(c); err != nil {
		return caller, err
	}
	mine := p.answer(caller, c)
	if _, err := c.Write(mine.encode()); err != nil {
		return caller, err
	}
	if mine.refusal != "" {
		return caller, fmt.Errorf("%w: %s", ErrPeer, mine.refusal)
	}
	return caller, c.SetDeadline(time.Time{})
}

// call exchanges greetings with whom this node called; means is its id, if known.
func (p parties) call(c net.Conn, means string, timeout time.Duration) (other greeting, err error) {
	c.SetDeadline(time.Now().Add(timeout))
	mine := p.self()
	mine.means = means
	if mine.cluster == "" && !p.trust {
		return other, ErrNotEnrolled
	}
	if _, err := c.Write(mine.encode()); err != nil {
		return other, err
	}
	if other, err = readGreeting(c); err != nil {
		return other, err
	}
	switch impostor, replaced := p.impostor(other, c), p.replaced(other); {
	case p.trust:
	case other.refusal != "":
		return other, fmt.Errorf("%w: it says: %s", ErrPeer, other.refusal)
	case other.cluster != mine.cluster:
		return other, fmt.Errorf("%w: %s is of cluster %q, this node of %s", ErrPeer, other.node, other.cluster, mine.cluster)
	case means != "" && other.node != means:
		return other, fmt.Errorf("%w: %s was meant, %s answers", ErrPeer, means, other.node)
	case impostor != "":
		return other, fmt.Errorf("%w: %s", ErrPeer, impostor)
	case replaced != "":
		return other, fmt.Errorf("%w: %s", ErrPeer, replaced)
	}
	return other, c.SetDeadline(time.Time{})
}
