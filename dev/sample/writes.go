package sample

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/dev/sample/samplepb"
	"pentad.dev/pentad/unitization/guard"
)

// userHeader carries the user's id with each request that is for one user.
const userHeader = "x-user-id"

// users are the ids of the clients' users: decimal numbers, usersPerShard of them in each shard.
type users struct{ shards int }

const (
	usersPerShard = 50
	firstUser     = 1000
)

// readShards is how many shards the users whom reads are for are spread over.
const readShards = 100

// of is a user of a shard.
func (u users) of(shard int, n uint64) string {
	return strconv.FormatUint((firstUser+n%usersPerShard)*uint64(u.shards)+uint64(shard), 10)
}

// user is the n-th user; neighbours are in different shards.
func (u users) user(n uint64) string { return u.of(int(n%uint64(u.shards)), n/uint64(u.shards)) }

// writes is the stream of writes to one service. It goes round the shards, so that each has its share in every second.
type writes struct {
	Writes
	load   *Load
	conn   *grpc.ClientConn
	writer *record.Writer
	begun  record.Time
}

func newWrites(l *Load, cfg Writes, conn *grpc.ClientConn, writer *record.Writer) *writes {
	return &writes{Writes: cfg, load: l, conn: conn, writer: writer, begun: record.Now()}
}

func (w *writes) rate() float64 { return w.Writes.rate() * float64(w.Shards) }

// begins waits until a write of any shard was taken; false: ctx has ended. Such writes are in no record.
func (w *writes) begins(ctx context.Context) bool {
	for n := uint64(0); ; n++ {
		attempt, cancel := context.WithTimeout(ctx, w.load.cfg.deadline())
		shard := int(n % uint64(w.Shards))
		_, err := w.send(attempt, w.userOf(shard, n), w.id("first", n), n)
		cancel()
		if err == nil {
			return true
		}
		w.load.log.Info("service takes no writes yet", "service", w.Service, "shard", shard, "error", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// one makes a write, with a deadline of its own as reads have.
func (w *writes) one(n uint64) {
	shard := int(n % uint64(w.Shards))
	write := record.Write{
		WriteID: w.id("w", n), Unitization: w.Unitization, Shard: shard, User: w.userOf(shard, n/uint64(w.Shards)),
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.load.cfg.deadline())
	defer cancel()
	seen := &attempts{}
	var to peer.Peer
	id := w.writer.StartWrite(w.Service, record.Now(), write)
	origin, err := w.send(context.WithValue(ctx, attemptsKey{}, seen), write.User, write.WriteID, n, grpc.Peer(&to))
	line := record.Line{End: record.Now(), Center: origin.GetCenter(), Instance: origin.GetInstance(), Write: write}
	line.Cell = origin.GetCell()
	line.Sent, line.Refused, line.Readdressed, line.Reason = seen.sent, seen.refused, seen.readdressed, seen.reason
	if to.Addr != nil {
		line.Peer = to.Addr.String()
	}
	w.load.end(w.writer, id, line, err)
}

// id is unique in the estate: no two clients of one name begin at the same instant.
func (w *writes) id(what string, n uint64) string {
	return fmt.Sprintf("%s-%s-%d-%s%d", w.Service, w.load.cfg.Center, w.begun, what, n)
}

// userOf is empty where writes are nobody's own.
func (w *writes) userOf(shard int, n uint64) string {
	if w.Header == "" {
		return ""
	}
	return users{shards: w.Shards}.of(shard, n)
}

func (w *writes) send(ctx context.Context, user, write string, n uint64, o ...grpc.CallOption) (
	*samplepb.Origin,
	error,
) {
	if user != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, w.Header, user)
	}
	return services()[w.Service].write(ctx, w.conn, user, write, n, o...)
}

// attempts is what became of one call on its way, as the guard's client side sent it.
type attempts struct {
	sent, refused int
	readdressed   bool
	reason        string
}

type attemptsKey struct{}

// countAttempts comes after the guard's client side, so that it sees each attempt. The attempts of one call come one
// after the other.
func countAttempts(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption) error {
	seen, _ := ctx.Value(attemptsKey{}).(*attempts)
	if seen == nil {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	seen.sent++
	if md, ok := metadata.FromOutgoingContext(ctx); ok && len(md.Get(guard.HeaderCell)) > 0 {
		seen.readdressed = true
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	if status.Code(err) == codes.FailedPrecondition {
		seen.refused++
		seen.reason = record.ReasonRoute
		if refusal, ok := guard.RefusalOf(err); ok {
			seen.reason = string(refusal.Reason)
		}
	}
	return err
}
