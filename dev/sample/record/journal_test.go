package record_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pentad.dev/pentad/dev/sample/record"
)

// journalForEver tells on standard output each entry that it has made, before it can have been written.
func journalForEver(path string) {
	j, err := record.CreateJournal(path)
	if err != nil {
		panic(err)
	}
	for n := 0; ; n++ {
		j.Add(record.Entry{What: record.Admitted, At: record.Now(), WriteID: fmt.Sprint(n)})
		fmt.Println(n)
		time.Sleep(100 * time.Microsecond)
	}
}

// told reads the numbers that a process tells, until enough of them says so; then it kills the process, and goes on to the
// last. It returns how many were told.
func told(t *testing.T, role, path string, enough func() bool) (n int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], role, path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); n++ {
		if lines.Text() != fmt.Sprint(n) { // a torn line
			break
		}
		if n%50 == 49 && !killed && enough() {
			_ = cmd.Process.Kill()
			killed = true
		}
	}
	_ = cmd.Wait()
	if !killed {
		t.Fatalf("it ended by itself after %d", n)
	}
	return n
}

// enough is how many of what was told must be in a file before its writer is killed.
const enough = 100

func TestAKilledProcessLosesOfItsJournalOnlyTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x"+record.JournalExtension)
	n := told(t, "journal-for-ever", path, func() bool {
		entries, err := record.ReadJournal(path)
		return err == nil && len(entries) >= enough
	})
	entries, err := record.ReadJournal(path)
	if err != nil || len(entries) < enough {
		t.Fatalf("%d entries in the file, %v", len(entries), err)
	}
	for i, e := range entries {
		if e.WriteID != fmt.Sprint(i) {
			t.Fatalf("entry %d in the file is %s", i, e.WriteID)
		}
	}
	t.Logf("%d of %d entries are in the file", len(entries), n)
}

func TestAJournalIsReadAsItWasWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sample-hz-a-1"+record.JournalExtension)
	j, err := record.CreateJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []record.Entry{
		{What: record.Opened, At: 1, Process: "sample-hz-a", Center: "hz-a", Region: "hangzhou", PID: 7},
		{What: record.Door, At: 2, Guard: "orders-1", Cell: "rz01.hz-a", Unitization: "users", To: 24, Since: 1<<63 + 1,
			Open: true},
		{What: record.Admitted, At: 4, Guard: "orders-1", Cell: "rz01.hz-a", Unitization: "users", Shard: 3, Since: 5,
			Method: "/a/B", WriteID: "w", Left: -1},
		{What: record.Refused, At: 5, Guard: "orders-1", Reason: "FROZEN", Since: 6},
	}
	for _, e := range want {
		j.Add(e)
	}
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(record.JournalFlush) {
		got, err := record.ReadJournal(path)
		if err == nil && reflect.DeepEqual(got, want) {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("while it is open: %+v, %v", got, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	j.Add(record.Entry{What: record.Admitted}) // too late, and harmless
	all, err := record.ReadJournals(dir)
	got := all["sample-hz-a-1"]
	if err != nil || len(all) != 1 || len(got) != len(want)+1 || got[len(want)].What != record.Closed {
		t.Errorf("after its end: %+v, %v", all, err)
	}
	if _, err := record.CreateJournal(path); err == nil {
		t.Error("an older journal would be written on")
	}
	if err := os.Truncate(path, 150); err != nil {
		t.Fatal(err)
	}
	if got, err := record.ReadJournal(path); err != nil || len(got) != 1 {
		t.Errorf("torn: %+v, %v", got, err)
	}
	var none *record.Journal
	none.Add(want[0])
	if err := none.Close(); err != nil {
		t.Error(err)
	}
}

func TestAWriteIsRecordedWithWhatBecameOfIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x"+record.FileExtension)
	w, err := record.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	begun := record.Write{WriteID: "a", Unitization: "users", Shard: 7, User: "107"}
	first := w.StartWrite("orders", 1, begun)
	ended := begun
	ended.Cell, ended.Sent, ended.Refused, ended.Readdressed, ended.Reason = "rz01.hz-a", 3, 2, true, "WRONG_CELL"
	w.End(first, record.Line{End: 2, Write: ended})
	refused := w.StartWrite("orders", 1, begun)
	w.End(refused, record.Line{End: 3, Write: begun, Code: "FailedPrecondition"})
	lost := w.StartWrite("orders", 1, begun)
	w.End(lost, record.Line{End: 3, Write: begun, Code: "Unavailable"})
	w.StartWrite("orders", 4, begun)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	r, err := record.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, _, err := r.Next()
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	if !got[0].OK() || got[0].Unknown() || got[0].Write != ended {
		t.Errorf("acknowledged: %+v", got[0])
	}
	if got[1].OK() || got[1].Unknown() {
		t.Errorf("refused: %+v", got[1])
	}
	if got[2].OK() || !got[2].Unknown() {
		t.Errorf("without an outcome: %+v", got[2])
	}
	if open := r.InFlight(); len(open) != 1 || open[0].Write != begun || !open[0].Unknown() {
		t.Errorf("under way: %+v", open)
	}
}
