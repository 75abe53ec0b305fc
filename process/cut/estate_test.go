package cut

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"pentad.dev/pentad/process"
)

// soon is when what does not hang must have happened, on a busy machine too; short is how long a test waits to see that
// something hangs.
const (
	soon  = time.Minute
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
