package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
)

// written is a folder with n entries, on disk.
func written(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	f, entries, _, _, err := openFiles(dir)
	check(t, err)
	c := newCore("orders", "hz", nil, f, entries, 0)
	for i := range n {
		e, err := encodeEntry(&ledgerpb.Entry{Index: uint64(i + 1), Token: 3, Write: &ledgerpb.Write{Id: fmt.Sprint("w", i)}})
		check(t, err)
		c.push(e)
		check(t, f.append([][]byte{e.record}))
	}
	check(t, f.sync(), f.keep(7), f.note(Event{What: Kept, Token: 7}), f.close())
	return dir
}

func TestATornTailIsCutOffWhereverItIsTorn(t *testing.T) {
	dir := written(t, 5)
	path := filepath.Join(dir, logFile)
	whole, err := os.ReadFile(path)
	check(t, err)
	_, rest := readRecords(whole)
	one := len(whole) / 5
	if len(rest) != 0 {
		t.Fatalf("%d bytes are no records", len(rest))
	}
	for cut := len(whole) - one + 1; cut < len(whole); cut++ {
		check(t, os.WriteFile(path, whole[:cut], 0o644))
		f, entries, token, lost, err := openFiles(dir)
		check(t, err)
		if len(entries) != 4 || token != 7 || lost != int64(cut-4*one) {
			t.Fatalf("cut at %d: %d entries, token %d, %d bytes lost", cut, len(entries), token, lost)
		}
		info, err := f.log.Stat()
		check(t, err, f.close())
		if info.Size() != int64(4*one) {
			t.Fatalf("cut at %d: the file has %d bytes, want %d", cut, info.Size(), 4*one)
		}
	}
}

func TestADamagedEntryEndsTheLog(t *testing.T) {
	dir := written(t, 5)
	path := filepath.Join(dir, logFile)
	data, err := os.ReadFile(path)
	check(t, err)
	data[len(data)-3] ^= 1
	check(t, os.WriteFile(path, data, 0o644))
	entries, err := ReadLog(dir)
	check(t, err)
	if len(entries) != 4 || entries[3].ID != "w3" {
		t.Errorf("read %v", entries)
	}
}

func TestATornEventIsCutOff(t *testing.T) {
	dir := written(t, 1)
	path := filepath.Join(dir, eventsFile)
	data, err := os.ReadFile(path)
	check(t, err, os.WriteFile(path, append(data, []byte(`{"what":"ope`)...), 0o644))
	if events, err := ReadEvents(dir); err != nil || len(events) != 1 {
		t.Errorf("read %v, %v", events, err)
	}
	f, _, _, _, err := openFiles(dir)
	check(t, err, f.note(Event{What: Opened}), f.close())
	if events, err := ReadEvents(dir); err != nil || len(events) != 2 || events[1].What != Opened {
		t.Errorf("read %v, %v", events, err)
	}
}

func TestAFolderIsOneProcesses(t *testing.T) {
	dir := written(t, 1)
	f, _, _, _, err := openFiles(dir)
	check(t, err)
	if _, _, _, _, err := openFiles(dir); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	check(t, f.close())
}

// failing is a disk whose syncs fail from some moment on.
type failing struct {
	disk
	fails bool
}

var errDisk = errors.New("no more spares")

func (f *failing) sync() error {
	if f.fails {
		return errDisk
	}
	return f.disk.sync()
}

func TestAFailedSyncEndsTheMemberAndAcknowledgesNothing(t *testing.T) {
	e := newEstate(t)
	hz := e.members["hz"]
	eventually(t, "primary", func() bool { return hz.member.State().GetAccepting() })
	hz.member.mu.Lock()
	hz.member.core.disk = &failing{disk: hz.member.disk, fails: true}
	hz.member.mu.Unlock()
	client, err := NewClient(ClientConfig{Store: simStore, Members: e.peers("")})
	check(t, err)
	defer client.Close()
	// Its permit may end for a moment on a busy machine: then nobody takes the write, and nothing is written.
	answer, err := client.Append(t.Context(), &ledgerpb.Write{Id: "a", Since: everyEpoch})
	for limit := time.Now().Add(soon); errors.Is(err, ErrNotPrimary) && time.Now().Before(limit); {
		answer, err = client.Append(t.Context(), &ledgerpb.Write{Id: "a", Since: everyEpoch})
	}
	if !errors.Is(err, ErrUnknown) {
		t.Fatalf("acknowledged %v, %v", answer, err)
	}
	select {
	case err := <-hz.done:
		if !errors.Is(err, errDisk) {
			t.Errorf("the member ended with %v", err)
		}
	case <-time.After(soon):
		t.Fatal("the member does not end")
	}
	hz.cancel = nil
}

func TestATokenSurvivesATornWriteOfTheNext(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, tokenFile)
	for _, token := range []uint64{7, 1<<64 - 1, 0} {
		f, _, _, _, err := openFiles(dir)
		check(t, err, f.keep(5), f.keep(token), f.close())
		whole, err := os.ReadFile(path)
		check(t, err)
		if got, err := readToken(dir); err != nil || got != max(token, 5) {
			t.Fatalf("kept %d, read %d, %v", token, got, err)
		}
		for i := range slotBytes { // either slot may be torn anywhere
			for _, at := range []int{i, slotBytes + i} {
				torn := append([]byte(nil), whole...)
				torn[at] ^= 1
				check(t, os.WriteFile(path, torn, 0o644))
				if got, err := readToken(dir); err != nil || got != token && got != 5 {
					t.Fatalf("slot torn at %d: read %d, %v", at, got, err)
				}
			}
		}
		check(t, os.WriteFile(path, whole, 0o644))
		_, at, err := readSlots(dir)
		check(t, err)
		if f, _, _, _, err = openFiles(dir); err != nil || f.kept%2 != at {
			t.Fatalf("the next token goes over the highest, in slot %d: kept %d, %v", at, f.kept, err)
		}
		check(t, f.close(), os.Remove(path))
	}
	check(t, os.WriteFile(path, []byte("garbage that is long enough to be a slot of the file"), 0o644))
	if _, err := readToken(dir); err == nil {
		t.Error("a lost token is taken for none")
	}
}
