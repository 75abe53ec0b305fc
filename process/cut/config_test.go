package cut

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/process"
)

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
	wrong := e.path + ".wrong"
	if err := os.WriteFile(wrong, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(wrong, e.path); err != nil { // whole: half a file may be a right one
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
