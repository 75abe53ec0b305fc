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
		fmt.Println(n, int64(record.Now()))
		time.Sleep(100 * time.Microsecond)
	}
}

func TestAKilledProcessLosesAtMostTheLastFlushOfItsJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x"+record.JournalExtension)
	cmd := exec.Command(os.Args[0], "journal-for-ever", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, func() { _ = cmd.Process.Kill() })
	told := map[string]record.Time{}
	var last record.Time
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n string
		var at int64
		if _, err := fmt.Sscan(lines.Text(), &n, &at); err != nil {
			break // a torn line
		}
		last = record.Time(at)
		told[n] = last
	}
	_ = cmd.Wait()
	entries, err := record.ReadJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		delete(told, e.WriteID)
	}
	const slack = 50 * time.Millisecond // of a busy machine
	for n, at := range told {
		if lost := last.Sub(at); lost > record.JournalFlush+slack {
			t.Errorf("entry %s is not in the file, though it was made %s before the kill", n, lost)
		}
	}
	if len(entries) < 100 {
		t.Errorf("only %d entries in the file", len(entries))
	}
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
