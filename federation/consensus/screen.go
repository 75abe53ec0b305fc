package consensus

import (
	"fmt"
	"net"
	"slices"
)

// screen reads along what a peer sends, ahead of raft's decoder, and stops it where that would take more than the peer
// has sent: the decoder makes room for a time stamp of whatever length is claimed, 4 GiB for six bytes, and goes as deep
// as values are nested. And it holds each request to who sent it: raft votes for, and follows, whoever a message says that
// it comes from, and the connection knows who that is. It knows the form of messages, MessagePack, and nothing of their
// meaning but that and where the content of a snapshot lies between two of them.
type screen struct {
	requests bool   // each begins with a byte that says its kind; else they are answers, of which raft reads no sender
	from     string // who sends the requests; empty: nobody looks (tests only)

	begun bool // within a request
	kind  byte
	raw   uint64 // bytes of a snapshot's content still to come

	open []container
	head []byte // of a value, as far as it has come
	body uint64 // bytes of a value still to come, behind its head

	key   []byte // the last key of a request's own fields; nil while it is no text
	inKey bool   // the body is that of a key
	size  uint64 // the last value of the field that says how long a snapshot's content is

	name   []byte // what a field that names the sender says, as far as it has come
	inName bool   // the body is such a field's
	said   [len(senderFields)]bool
}

// container is an array or a map that is not at its end.
type container struct {
	left  uint64 // values still to come; of a map, keys too
	isMap bool
}

const (
	kindInstallSnapshot = 2 // net_transport.go in hashicorp/raft
	sizeField           = "Size"
	senderMax           = 1 << 10 // bytes in a sender's name

	screenText  = MaxCommandSize + 64<<10 // bytes in one value
	screenItems = 1 << 16                 // values in one container
	screenDepth = 8
)

// senderFields are those of a request that say who sends it: raft's header. Where they are there, raft does not read the
// older Leader and Candidate.
var senderFields = [...]string{"ID", "Addr"}

func garbage(format string, args ...any) error {
	return fmt.Errorf("%w: garbage: %s", ErrPeer, fmt.Sprintf(format, args...))
}

// pass looks at the next bytes. An error means that nothing of them must be decoded.
func (s *screen) pass(p []byte) error {
	for len(p) > 0 {
		switch {
		case s.raw > 0:
			n := min(s.raw, uint64(len(p)))
			s.raw -= n
			p = p[n:]
		case s.body > 0:
			n := min(s.body, uint64(len(p)))
			if s.inKey {
				s.key = append(s.key, p[:n]...)
			}
			if s.inName {
				s.name = append(s.name, p[:n]...)
			}
			s.body -= n
			p = p[n:]
			if s.body == 0 {
				if err := s.ended(); err != nil {
					return err
				}
			}
		case s.requests && !s.begun:
			s.begun, s.kind, s.size, s.said = true, p[0], 0, [len(senderFields)]bool{}
			p = p[1:]
		default:
			s.head = append(s.head, p[0])
			p = p[1:]
			if len(s.head) == 1+headRest(s.head[0]) {
				if err := s.value(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// headRest is how many bytes of a value's head follow its first one.
func headRest(b byte) int {
	switch b {
	case 0xc4, 0xd9, 0xcc, 0xd0: // one byte of length, or of number
		return 1
	case 0xc5, 0xda, 0xdc, 0xde, 0xcd, 0xd1, 0xc7: // an extension's length is followed by its type
		return 2
	case 0xc8:
		return 3
	case 0xc6, 0xdb, 0xdd, 0xdf, 0xce, 0xd2, 0xca:
		return 4
	case 0xc9:
		return 5
	case 0xcf, 0xd3, 0xcb:
		return 8
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return 1
	}
	return 0
}

// value looks at a value whose head is there.
func (s *screen) value() error {
	b, rest := s.head[0], s.head[1:]
	s.head = s.head[:0]
	own := s.requests && len(s.open) == 1 && s.open[0].isMap // a field of the request itself, or its name
	isKey := own && s.open[0].left%2 == 0
	isSender := own && !isKey && s.namesSender() >= 0
	number := uint64(0)
	for _, x := range rest {
		number = number<<8 | uint64(x)
	}
	isMap := b >= 0x80 && b <= 0x8f || b == 0xde || b == 0xdf
	isArray := b >= 0x90 && b <= 0x9f || b == 0xdc || b == 0xdd
	isText := b >= 0xa0 && b <= 0xbf || b >= 0xc4 && b <= 0xc6 || b >= 0xd9 && b <= 0xdb
	switch {
	case s.requests && len(s.open) == 0 && !isMap:
		return garbage("a message that begins with %#x", b)
	case isKey && !isText:
		return garbage("a field's name that begins with %#x", b)
	case isSender && !isText:
		return garbage("a sender's name that begins with %#x", b)
	case isMap || isArray:
		if b < 0xa0 {
			number = uint64(b & 0x0f)
		}
		if number > screenItems || len(s.open) == screenDepth {
			return garbage("%d values in one, %d deep", number, len(s.open)+1)
		}
		if isMap {
			number *= 2
		}
		if number > 0 {
			s.open = append(s.open, container{number, isMap})
			return nil
		}
	case isText:
		if b < 0xc0 {
			number = uint64(b & 0x1f)
		}
		switch {
		case isKey:
			s.key, s.inKey = s.key[:0], true
		case isSender && number > senderMax:
			return garbage("a sender's name of %d bytes", number)
		case isSender:
			s.name, s.inName = s.name[:0], true
		}
		return s.expect(number)
	case b >= 0xc7 && b <= 0xc9: // extensions
		return s.expect(number >> 8)
	case b >= 0xd4 && b <= 0xd8:
		return s.expect(1 << (b - 0xd4))
	case b == 0xc1:
		return garbage("a value that begins with %#x", b)
	case own && string(s.key) == sizeField: // a number
		switch b {
		case 0xd0:
			number = uint64(int64(int8(number)))
		case 0xd1:
			number = uint64(int64(int16(number)))
		case 0xd2:
			number = uint64(int64(int32(number)))
		case 0xcc, 0xcd, 0xce, 0xcf, 0xd3:
		default:
			number = uint64(int64(int8(b))) // itself
		}
		s.size = number
	}
	return s.ended()
}

// expect says how long the body of a value is.
func (s *screen) expect(body uint64) error {
	if body > screenText {
		return garbage("a value of %d bytes", body)
	}
	if s.body = body; body == 0 {
		return s.ended()
	}
	return nil
}

// namesSender says which of the fields that name the sender the present one is, -1 for none.
func (s *screen) namesSender() int {
	if s.from == "" {
		return -1
	}
	return slices.Index(senderFields[:], string(s.key))
}

// ended is called behind each value.
func (s *screen) ended() error {
	if s.inName {
		if string(s.name) != s.from {
			return fmt.Errorf("%w: %s sends a message whose %s is %q", ErrPeer, s.from, s.key, s.name)
		}
		s.said[s.namesSender()] = true
	}
	s.inKey, s.inName = false, false
	for len(s.open) > 0 {
		last := &s.open[len(s.open)-1]
		if last.left--; last.left > 0 {
			return nil
		}
		s.open = s.open[:len(s.open)-1]
	}
	s.begun, s.key = false, s.key[:0]
	if i := slices.Index(s.said[:], false); i >= 0 && s.from != "" {
		return fmt.Errorf("%w: %s sends a message without %s", ErrPeer, s.from, senderFields[i])
	}
	if s.requests && s.kind == kindInstallSnapshot && int64(s.size) > 0 {
		s.raw = s.size
	}
	return nil
}

// screened is a connection that is read through a screen.
type screened struct {
	net.Conn
	screen screen
}

// NetConn is what is below the encryption.
func (c *screened) NetConn() net.Conn {
	if over, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		return over.NetConn()
	}
	return c.Conn
}

// Read implements net.Conn.
func (c *screened) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if wrong := c.screen.pass(p[:n]); wrong != nil {
		return 0, wrong
	}
	return n, err
}
