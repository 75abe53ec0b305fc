package cut

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/process"
)

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
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
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
				lost, within := slices.Contains(c.lost, to), soon
				if lost {
					within = short
				}
				ctx, cancel := context.WithTimeout(t.Context(), within)
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
