package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

var (
	// errSilent: an answer did not come in time.
	errSilent = errors.New("no answer in time")
	// errEmpty: the peer answers, but holds nothing itself.
	errEmpty = errors.New("the peer holds no permit itself")
)

// refusedBy is the trailer by which a server says that it is there, though it ended the stream.
const refusedBy = "pentad-permit-refused"

// link is one stream to one peer. The connection ends with it, since it may only seem to be one, unless the peer itself
// ended the stream: then the next one needs no handshake, and peers that cannot answer for long can be asked often.
type link struct {
	client *Client
	index  int
	stream grpc.BidiStreamingClient[permitpb.HoldRequest, permitpb.HoldResponse]
	cancel context.CancelFunc
	// in has what is received; ended is closed after the last, and then err says why.
	in      chan *permitpb.HoldResponse
	ended   chan struct{}
	err     error
	refused bool

	clock permit.Clock
	asker permit.Asker
	// told are the freezes of the last ask.
	told []uint64
}

// connect opens a stream to a peer and returns it with its first answer.
func (c *Client) connect(ctx context.Context, i int) (*link, *permit.Permit, error) {
	l, err := c.open(ctx, i)
	if err != nil {
		return nil, nil, err
	}
	p, err := c.first(ctx, l)
	if err != nil {
		l.close()
		return nil, nil, err
	}
	return l, p, nil
}

// open makes the link. Its stream outlives ctx, so that the client can say farewell.
func (c *Client) open(ctx context.Context, i int) (*link, error) {
	conn := c.conns[i]
	if conn == nil {
		var err error
		if conn, err = Dial(c.cfg.Peers[i], c.cfg.Dial); err != nil {
			return nil, err
		}
		c.conns[i] = conn
	}
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	slow := time.AfterFunc(c.cfg.Timeout, cancel)
	stream, err := permitpb.NewPermitsClient(conn).Hold(alive)
	timely := slow.Stop()
	if stop(); err != nil || !timely {
		cancel()
		c.disconnect(i)
		if !timely {
			return nil, fmt.Errorf("%w: not connected after %s", errSilent, c.cfg.Timeout)
		}
		return nil, err
	}
	l := &link{
		client: c, index: i, stream: stream, cancel: cancel, clock: c.cfg.Clock,
		in: make(chan *permitpb.HoldResponse), ended: make(chan struct{}),
	}
	go l.receive(alive)
	return l, nil
}

func (l *link) receive(ctx context.Context) {
	defer close(l.ended)
	for {
		m, err := l.stream.Recv()
		if err != nil {
			l.err, l.refused = err, len(l.stream.Trailer().Get(refusedBy)) > 0
			return
		}
		select {
		case l.in <- m:
		case <-ctx.Done():
			l.err = ctx.Err()
			return
		}
	}
}

// first opens the session, asks, and waits for the answer.
func (c *Client) first(ctx context.Context, l *link) (*permit.Permit, error) {
	open := proto.CloneOf(c.cfg.Open)
	open.Session = c.session()
	request := &permitpb.HoldRequest{Message: &permitpb.HoldRequest_Open{Open: open}}
	if err := l.stream.Send(request); err != nil {
		return nil, l.why(err)
	}
	if err := c.ask(l, false); err != nil {
		return nil, err
	}
	slow := time.NewTimer(c.cfg.Timeout)
	defer slow.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-slow.C:
			return nil, fmt.Errorf("%w: %s after the first ask", errSilent, c.cfg.Timeout)
		case <-l.ended:
			return nil, l.err
		case m := <-l.in:
			if m.GetAnswer() == nil {
				continue
			}
			return l.asker.Take(m.GetAnswer(), l.clock.Now())
		}
	}
}

// ask sends an ask. The clock is read before anything else: the permit counts from there.
func (c *Client) ask(l *link, released bool) error {
	ask := &permitpb.Ask{Number: l.asker.Ask(l.clock.Now()), Released: released}
	ask.Closed, ask.Rendered = c.cfg.Holder.Closed(), c.cfg.Holder.Rendered()
	l.told = slices.Clone(ask.Closed)
	c.count.asks.Inc()
	if err := l.stream.Send(&permitpb.HoldRequest{Message: &permitpb.HoldRequest_Ask{Ask: ask}}); err != nil {
		return l.why(err)
	}
	return nil
}

// why is the reason of a stream's end: a send only says that it has ended.
func (l *link) why(err error) error {
	select {
	case <-l.ended:
		return l.err
	case <-time.After(100 * time.Millisecond):
		return err
	}
}

// untold says whether the holder has closed a freeze that the peer has not heard of.
func (l *link) untold(closed []uint64) bool {
	return slices.ContainsFunc(closed, func(freeze uint64) bool { return !slices.Contains(l.told, freeze) })
}

// close ends the stream and what belongs to it.
func (l *link) close() {
	refused := false
	select {
	case <-l.ended:
		refused = l.refused
	default:
	}
	l.cancel()
	if !refused {
		l.client.disconnect(l.index)
	}
	<-l.ended
}

// disconnect closes the connection to a peer. Nobody else uses that peer at the time.
func (c *Client) disconnect(i int) {
	if c.conns[i] != nil {
		c.conns[i].Close()
		c.conns[i] = nil
	}
}

// leave tells the peer that nothing is held any more, and waits a moment for its answer.
func (c *Client) leave(l *link) {
	holder, ok := c.cfg.Holder.(permit.Releaser)
	if !ok || !holder.Released() || c.ask(l, true) != nil {
		return
	}
	slow := time.NewTimer(250 * time.Millisecond)
	defer slow.Stop()
	for {
		select {
		case <-slow.C:
			return
		case <-l.ended:
			return
		case m := <-l.in:
			if m.GetAnswer() == nil {
				continue
			}
			if _, err := l.asker.Take(m.GetAnswer(), l.clock.Now()); err == nil {
				return
			}
		}
	}
}
