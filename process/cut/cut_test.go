package cut

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"pentad.dev/pentad/process"
)

// soon is when what does not hang must have happened; short is how long a test waits to see that something hangs.
const (
	soon  = 5 * time.Second
	short = 80 * time.Millisecond
)

var (
	hzA = process.Place{Region: "hangzhou", Center: "hz-a"}
	hzB = process.Place{Region: "hangzhou", Center: "hz-b"}
	shA = process.Place{Region: "shanghai", Center: "sh-a"}
	szA = process.Place{Region: "shenzhen", Center: "sz-a"}
)

// hangzhouLost is what a drill does.
var hangzhouLost = Between{From: Selector{Region: "hangzhou"}, To: Selector{Region: "*"}}

// estate is a Cut at hz-a that runs, and a listener in each of the places.
type estate struct {
	t         *testing.T
	path      string
	file      File
	cut       *Cut
	listeners map[process.Place]net.Listener
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	e := &estate{
		t: t, path: filepath.Join(t.TempDir(), "cut.json"), listeners: map[process.Place]net.Listener{},
		file: File{Places: map[string]process.Place{}},
	}
	for _, place := range []process.Place{hzA, hzB, shA, szA} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		e.listeners[place], e.file.Places[l.Addr().String()] = l, place
	}
	e.save()
	t.Setenv(Env, e.path)
	var err error
	if e.cut, err = FromEnv(hzA); err != nil || e.cut == nil {
		t.Fatal(e.cut, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.cut.Run(ctx, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

func (e *estate) save() {
	e.t.Helper()
	if err := e.file.Save(e.path); err != nil {
		e.t.Fatal(err)
	}
}

// set makes these cuts and waits until they hold.
func (e *estate) set(cuts ...Between) {
	e.t.Helper()
	e.file.Cuts = cuts
	e.save()
	for limit := time.Now().Add(soon); len(e.cut.Cuts()) != len(cuts); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			e.t.Fatal("the change of the file is not seen")
		}
	}
}

func (e *estate) address(p process.Place) string { return e.listeners[p].Addr().String() }

// connect returns both ends of a connection to a place.
func (e *estate) connect(to process.Place) (here, there net.Conn) {
	e.t.Helper()
	here, err := e.cut.Dial(e.t.Context(), e.address(to))
	if err != nil {
		e.t.Fatal(err)
	}
	there, err = e.listeners[to].Accept()
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	return here, there
}

// later runs f beside the test and says when it has ended.
func later(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func hangs(t *testing.T, what string, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		t.Fatalf("%s did not hang over a cut: %v", what, err)
	case <-time.After(short):
	}
}

func goesOn(t *testing.T, what string, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(soon):
		t.Fatalf("%s still hangs", what)
	}
}

func say(c net.Conn, text string) func() error {
	return func() error {
		_, err := io.WriteString(c, text)
		return err
	}
}

func hear(c net.Conn, text string) func() error {
	return func() error {
		got := make([]byte, len(text))
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		if string(got) != text {
			return errors.New("heard " + string(got) + ", want " + text)
		}
		return nil
	}
}

func TestNothingPassesACutInEitherDirectionAndAllOfItArrivesInOrderWhenItHeals(t *testing.T) {
	e := newEstate(t)
	here, there := e.connect(shA)
	goesOn(t, "write", later(say(here, "a")))
	goesOn(t, "read", later(hear(there, "a")))
	waiting := later(hear(here, "reply"))
	e.set(hangzhouLost)
	goesOn(t, "a write that the buffer takes", later(say(here, "b")))
	goesOn(t, "a write of the other side", later(say(there, "reply")))
	heard := later(hear(there, "bcd"))
	hangs(t, "what was written", heard)
	hangs(t, "a read from before the cut", waiting)
	goesOn(t, "write", later(say(here, "c")))
	e.set()
	goesOn(t, "write", later(say(here, "d")))
	goesOn(t, "what was written", heard)
	goesOn(t, "the read", waiting)
}

func TestWhatIsWrittenAsTheCutHealsComesAfterWhatWasWrittenBehindIt(t *testing.T) {
	e := newEstate(t)
	here, there := e.connect(shA)
	for round := range 200 {
		for _, cuts := range [][]Between{{hangzhouLost}, nil} {
			e.file.Cuts = cuts
			e.save()
			if err := e.cut.load(); err != nil {
				t.Fatal(err)
			}
			if err := say(here, string(rune('0'+len(cuts))))(); err != nil {
				t.Fatal(err)
			}
		}
		if err := hear(there, "10")(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

func TestAWriteLargerThanTheBufferWaits(t *testing.T) {
	e := newEstate(t)
	here, there := e.connect(shA)
	e.set(hangzhouLost)
	big := bytes.Repeat([]byte("0123456789"), bufferSize/5)
	writing := later(say(here, string(big)))
	hangs(t, "write", writing)
	e.set()
	goesOn(t, "what was written", later(hear(there, string(big))))
	goesOn(t, "write", writing)
}

func TestAConnectHangsUntilTheCutHealsOrItsContextEnds(t *testing.T) {
	e := newEstate(t)
	e.set(hangzhouLost)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	begun := time.Now()
	_, err := e.cut.Dial(ctx, e.address(shA))
	var network net.Error
	if !errors.As(err, &network) || !network.Timeout() || time.Since(begun) < short {
		t.Errorf("got %v after %s, want a timeout after %s", err, time.Since(begun), short)
	}
	dialing := later(func() error {
		c, err := e.cut.Dial(t.Context(), e.address(shA))
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	hangs(t, "connect", dialing)
	e.set()
	goesOn(t, "connect", dialing)
}

func TestOnlyWhatTheCutSeparatesHangs(t *testing.T) {
	for name, c := range map[string]struct {
		cut  Between
		lost []process.Place
	}{
		"region from all others": {hangzhouLost, []process.Place{shA, szA}},
		"region from a region": {
			Between{From: Selector{Region: "shenzhen"}, To: Selector{Region: "hangzhou"}}, []process.Place{szA},
		},
		"center from its region": {
			Between{From: Selector{Center: "hz-b"}, To: Selector{Region: "hangzhou"}}, []process.Place{hzB},
		},
		"others among themselves": {Between{From: Selector{Center: "sh-a"}, To: Selector{Center: "sz-a"}}, nil},
		"this center from all":    {Between{From: Selector{Center: "hz-a"}}, []process.Place{hzB, shA, szA}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEstate(t)
			e.set(c.cut)
			for _, to := range []process.Place{hzA, hzB, shA, szA} {
				lost := false
				for _, p := range c.lost {
					lost = lost || p == to
				}
				ctx, cancel := context.WithTimeout(t.Context(), short)
				conn, err := e.cut.DialContext(ctx, "tcp", e.address(to))
				cancel()
				if err == nil {
					_ = conn.Close()
				}
				if lost != (err != nil) {
					t.Errorf("%s: error %v, cut off: %v", to.Center, err, lost)
				}
			}
		})
	}
}

func TestDeadlinesHoldBehindACutAndLoseNothing(t *testing.T) {
	e := newEstate(t)
	here, there := e.connect(shA)
	e.set(hangzhouLost)
	goesOn(t, "a write of the other side", later(say(there, "hello")))
	time.Sleep(20 * time.Millisecond) // it has arrived
	if err := here.SetDeadline(time.Now().Add(short)); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	if _, err := here.Write(make([]byte, 2*bufferSize)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
	if err := here.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	hearing := later(func() error { return errors.Join(hear(here, "he")(), hear(here, "llo")()) })
	hangs(t, "read after a deadline that was taken back", hearing)
	e.set()
	goesOn(t, "what arrived behind the cut", hearing)
}

func TestACloseEndsWhatWaitsAndTheOtherSideHearsOfItOnlyWhenTheCutHeals(t *testing.T) {
	e := newEstate(t)
	here, there := e.connect(shA)
	reading := later(func() error {
		_, err := here.Read(make([]byte, 1))
		return err
	})
	e.set(hangzhouLost)
	goesOn(t, "a last write", later(say(here, "last")))
	writing := later(say(here, strings.Repeat("x", 2*bufferSize)))
	hangs(t, "write", writing)
	goesOn(t, "close", later(here.Close))
	for what, done := range map[string]<-chan error{"read": reading, "write": writing} {
		select {
		case err := <-done:
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s ended with %v", what, err)
			}
		case <-time.After(soon):
			t.Fatalf("%s still hangs after the close", what)
		}
	}
	if err := here.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	other := later(hear(there, "last"))
	hangs(t, "the other side", other)
	e.set()
	goesOn(t, "what was written before the close", other)
	goesOn(t, "the end", later(func() error {
		_, err := io.Copy(io.Discard, there)
		return err
	}))
}

func TestTheEndOfTheOtherSideIsNotHeardBehindACut(t *testing.T) {
	e := newEstate(t)
	here, there := e.connect(shA)
	e.set(hangzhouLost)
	reading := later(func() error {
		_, err := here.Read(make([]byte, 1))
		if !errors.Is(err, io.EOF) {
			return errors.New("want EOF")
		}
		return nil
	})
	_ = there.Close()
	hangs(t, "read", reading)
	e.set()
	goesOn(t, "read", reading)
}

func TestAGRPCCallFailsByItsDeadlineAndTheChannelComesBack(t *testing.T) {
	e := newEstate(t)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(e.listeners[shA]) }()
	defer server.Stop()
	conn, err := grpc.NewClient("passthrough:///"+e.address(shA),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(e.cut.Dialer()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		return err
	}
	goesOn(t, "call", later(func() error { return call(soon) }))
	e.set(hangzhouLost)
	if err := call(short); err == nil {
		t.Fatal("a call passed the cut")
	}
	e.set()
	goesOn(t, "call", later(func() error { return call(soon) }))
}

func TestAnHTTPTransportTakesIt(t *testing.T) {
	e := newEstate(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})}
	go func() { _ = server.Serve(e.listeners[szA]) }()
	defer server.Close()
	c := &http.Client{Transport: &http.Transport{DialContext: e.cut.DialContext}, Timeout: 2 * short}
	get := func() error {
		response, err := c.Get("http://" + e.address(szA))
		if err == nil {
			_ = response.Body.Close()
		}
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	e.set(hangzhouLost)
	if err := get(); err == nil {
		t.Fatal("a request passed the cut")
	}
	e.set()
	if err := get(); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutTheVariableNothingIsThere(t *testing.T) {
	t.Setenv(Env, "")
	c, err := FromEnv(hzA)
	if err != nil || c != nil || c.Dialer() != nil || c.Cuts() != nil || c.Run(t.Context(), nil) != nil {
		t.Fatal(c, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := c.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, plain := conn.(*net.TCPConn); !plain {
		t.Errorf("a connection of a nil Cut is a %T", conn)
	}
	_ = conn.Close()
}

func TestAWrongFileIsRefusedAtTheStartAndLaterTheLastGoodOneHolds(t *testing.T) {
	for text, want := range map[string]string{
		`{"places":{"x":{"region":"a","center":"b"}}}`:     `places[x]: "x" is not host:port`,
		`{"places":{"127.0.0.1:1":{"region":"a"}}}`:        "places[127.0.0.1:1]: center",
		`{"cuts":[{"from":{"region":"*"},"to":{}}]}`:       "cuts[0].from",
		`{"cuts":[{"from":{"regoin":"a"},"to":{}}]}`:       "regoin",
		`{"cuts":[{"from":{"region":"a","region":"b"}}]} `: "already set",
		`{`: "line",
	} {
		path := filepath.Join(t.TempDir(), "cut.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Setenv(Env, path)
		_, err := FromEnv(hzA)
		var usage *process.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", text, err, want)
		}
	}
	t.Setenv(Env, filepath.Join(t.TempDir(), "none"))
	if _, err := FromEnv(hzA); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	e := newEstate(t)
	e.set(hangzhouLost)
	if err := os.WriteFile(e.path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * pollEvery)
	if got := e.cut.Cuts(); len(got) != 1 {
		t.Errorf("after a wrong file %v holds", got)
	}
	if err := os.Remove(e.path); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * pollEvery)
	if got := e.cut.Cuts(); len(got) != 1 {
		t.Errorf("without a file %v holds", got)
	}
	e.set()
}
