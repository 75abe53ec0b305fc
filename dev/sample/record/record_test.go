package record_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pentad.dev/pentad/dev/sample/record"
)

// The test binary is also a client that writes records until it is killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "write-for-ever" {
		writeForEver(os.Args[2])
	}
	if len(os.Args) == 3 && os.Args[1] == "journal-for-ever" {
		journalForEver(os.Args[2])
	}
	os.Exit(m.Run())
}

// writeForEver tells on standard output each request that it has ended, before its record can have been written.
func writeForEver(path string) {
	w, err := record.Create(path)
	if err != nil {
		panic(err)
	}
	_ = w.Write(record.Line{What: record.Opened, At: record.Now(), Client: "hz-a"})
	go func() { _ = w.Run(context.Background()) }()
	w.Start("slow", record.Now()) // never ends
	for n := 0; ; n++ {
		id := w.Start("quick", record.Now())
		w.End(id, record.Line{End: record.Now(), Instance: fmt.Sprint(n)})
		fmt.Println(n)
		time.Sleep(time.Millisecond)
	}
}

func TestAKilledWriterLosesOnlyTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x"+record.FileExtension)
	var r *record.Reader
	var ended []record.Request
	next := func() {
		more, _, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		ended = append(ended, more...)
	}
	n := told(t, "write-for-ever", path, func() (yes bool) {
		if r == nil {
			var err error
			if r, err = record.Open(path); err != nil {
				t.Fatal(err)
			}
		}
		next()
		return len(ended) >= enough
	})
	defer r.Close()
	next()
	for i, e := range ended {
		if e.Instance != fmt.Sprint(i) {
			t.Fatalf("ended request %d in the file is %s", i, e.Instance)
		}
	}
	open := r.InFlight()
	slow := slices.IndexFunc(open, func(r record.Request) bool { return r.Service == "slow" && r.Client == "hz-a" })
	if slow < 0 || len(open) > 2 { // a quick one may have been under way, too
		t.Errorf("in flight: %+v, want the slow one", open)
	}
	t.Logf("%d of %d requests are in the file", len(ended), n)
}

// Whatever the order of starts, ends, flushes and reads, a reader has every request once, and knows what is under way.
func TestAReaderHasWhatTheWriterWrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "record")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "x"+record.FileExtension)
		w, err := record.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := record.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		open, want, got := map[uint64]bool{}, 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"start": func(*rapid.T) { open[w.Start("s", record.Now())] = true },
			"end": func(t *rapid.T) {
				for id := range open {
					w.End(id, record.Line{End: record.Now(), Code: rapid.SampledFrom([]string{"", "Unavailable"}).Draw(t, "code")})
					delete(open, id)
					want++
					break
				}
			},
			"flush": func(t *rapid.T) {
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
			},
			"read": func(t *rapid.T) {
				ended, _, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				got += len(ended)
			},
		})
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		ended, _, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got += len(ended); got != want || len(r.InFlight()) != len(open) {
			t.Fatalf("read %d ended and %d in flight, want %d and %d", got, len(r.InFlight()), want, len(open))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestATornLastLineIsLeftUntilItIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x"+record.FileExtension)
	whole := `{"what":"open","at":1,"client":"hz-a"}` + "\n" + `{"what":"end","at":2,"id":1,"service":"s","end":3}` + "\n"
	if err := os.WriteFile(path, []byte(whole[:len(whole)-9]), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := record.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if ended, _, err := r.Next(); err != nil || len(ended) != 0 {
		t.Fatalf("got %v, %v of a torn line", ended, err)
	}
	if err := os.WriteFile(path, []byte(whole), 0o644); err != nil {
		t.Fatal(err)
	}
	if ended, _, err := r.Next(); err != nil || len(ended) != 1 || ended[0].Client != "hz-a" || !ended[0].OK() {
		t.Errorf("got %+v, %v", ended, err)
	}
}

func TestTheClockIsTheMachinesAndDoesNotGoBack(t *testing.T) {
	before := record.Now()
	time.Sleep(time.Millisecond)
	if after := record.Now(); after.Sub(before) < time.Millisecond {
		t.Errorf("%d then %d", before, after)
	}
}
