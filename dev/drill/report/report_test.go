package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/drill/report"
	"pentad.dev/pentad/dev/sample/record"
)

func at(seconds float64) record.Time { return record.Time(1e15).Add(time.Duration(seconds * 1e9)) }

// sampleInput is ten seconds of two centers: b is killed at 6 s and back at 8 s; a policy sends a's requests to b from
// 2 s on.
func sampleInput() report.Input {
	in := report.Input{
		Version: "test", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Began: at(0), Ended: at(10),
		Bounds: oracle.DefaultBounds(), Machine: report.Machine{CPUs: 2, MemoryMB: 4096, Kernel: "Linux", Processes: 12},
		Centers: []report.Center{{Name: "a", Region: "north"}, {Name: "b", Region: "south"}},
		Steps: []report.Span{
			{Number: 1, Name: "steady", What: "nothing <happens>", From: at(0), To: at(5)},
			{Number: 2, Name: "region", What: "b dies", From: at(5), To: at(10), Notes: []string{"2 processes killed"}},
		},
		Marks: []report.Event{
			{At: at(6), Kind: report.MarkKill, Center: "b", Text: "sample-b killed"},
			{At: at(8), Kind: report.MarkStart, Center: "b", Text: "sample-b started"},
			{At: at(2), Kind: report.MarkPolicy, Text: "policy"},
			{At: at(7), Kind: report.MarkLeader, Text: "a leads"},
			{At: at(9), Kind: report.MarkLost, Center: "a", Text: "somebody killed it"},
		},
	}
	h := &in.History
	h.Units = &oracle.UnitHistory{
		Orders: []oracle.Order{
			{ID: "1", Acknowledged: true, Refused: 2, Readdressed: true}, {ID: "2", Reason: "FROZEN"}, {ID: "3", Unknown: true},
		},
		Switchovers: []oracle.Switchover{{
			Name: "evacuate", Step: "region", Approved: at(6), Opened: at(6.2), Done: at(7), Freeze: 2, Open: 4,
			Moved: []oracle.MovedRange{{Unitization: "users", From: 0, To: 1, Cells: []string{"u.a"}, ToCells: []string{"u.b"}}},
		}},
		Doors: []oracle.Door{
			{At: at(6.1), Cell: "u.a", Unitization: "users", From: 0, To: 1, Since: 2},
			{At: at(6.25), Cell: "u.b", Unitization: "users", From: 0, To: 1, Since: 4, Open: true},
		},
	}
	for _, c := range []string{"a", "b"} {
		h.Registrations = append(h.Registrations, oracle.Registration{
			At: at(-1), Service: "s", Center: c, Instance: "s-" + c, Address: c + ":1", Process: "sample-" + c, Ready: true,
		})
	}
	h.Lives = []oracle.Life{
		{Process: "sample-a", Start: at(-2), Ready: at(-1.9)},
		{Process: "sample-b", Start: at(-2), Ready: at(-1.9), Signal: at(6), End: at(6.01), Killed: true},
	}
	for i := range 100 {
		t := float64(i) / 10
		server := "a"
		if t >= 2 && t < 6 {
			server = "b"
		}
		h.Requests = append(h.Requests, record.Request{
			Client: "a", Service: "s", Start: at(t), End: at(t + 0.002), Peer: server + ":1", Center: server,
			Instance: "s-" + server,
		})
	}
	h.Requests = append(
		h.Requests,
		record.Request{
			Client:  "a",
			Service: "s",
			Start:   at(5.999),
			End:     at(6.005),
			Peer:    "b:1",
			Code:    "Unavailable",
			Cause:   record.CauseBroken,
		},
		record.Request{
			Client:  "a",
			Service: "s",
			Start:   at(7),
			End:     at(7.1),
			Code:    "Unavailable",
			Cause:   record.CauseUnreachable,
			Error:   "<refused>",
		},
		record.Request{Client: "b", Service: "s", Start: at(5.9), Open: true},
	)
	h.Changes = []oracle.Change{
		{
			At:       at(1),
			Step:     "steady",
			What:     "drained",
			Instance: "s-a",
			Arrivals: map[string]record.Time{"r1": at(1.01), "r2": at(1.03)},
		},
		{
			At:       at(6.5),
			Step:     "region",
			What:     "resumed",
			Instance: "s-a",
			Missing:  []string{"r9"},
			Arrivals: map[string]record.Time{"r1": at(6.6)},
		},
	}
	h.Elections = []oracle.Election{{Step: "region", Old: "b", New: "a", Killed: at(6), Leader: at(7), Written: at(7.2)}}
	h.Expectations = []oracle.Expectation{{Step: "region", What: "writes & reads", Met: false, Detail: "none"}}
	in.Verdict = oracle.Judge(*h, in.Bounds)
	return in
}

func TestStepsAndTheTimelineAddUpToTheRequests(t *testing.T) {
	r := report.Build(sampleInput())
	if r.Pass || !strings.HasPrefix(r.Headline(), "FAIL") {
		t.Errorf("headline %q", r.Headline())
	}
	if r.Figures.Requests != 103 || r.Figures.InFlight != 1 || r.Figures.Unknown != 1 || r.Figures.Failed != 1 {
		t.Errorf("figures %+v", r.Figures)
	}
	requests, failed, inFlight := 0, 0, 0
	for _, s := range r.Steps {
		requests, failed, inFlight = requests+s.Requests, failed+s.Failed, inFlight+s.InFlight+s.Unknown
	}
	if requests != 103 || failed != 1 || inFlight != 2 {
		t.Errorf("steps add up to %d, %d failed, %d in flight", requests, failed, inFlight)
	}
	total := report.Bucket{}
	for _, c := range r.Centers {
		for _, b := range c.Buckets {
			total.Own, total.Region, total.Far = total.Own+b.Own, total.Region+b.Region, total.Far+b.Far
			total.InFlight, total.Failed = total.InFlight+b.InFlight, total.Failed+b.Failed
		}
	}
	if (total != report.Bucket{Own: 60, Far: 40, InFlight: 2, Failed: 1}) {
		t.Errorf("timeline adds up to %+v", total)
	}
	if m := r.Steps[0].Matrix["a"]; m["a"] != 20 || m["b"] != 30 {
		t.Errorf("matrix %v", m)
	}
	if c := r.Steps[1].Causes; c[record.CauseUnreachable] != 1 || len(c) != 1 {
		t.Errorf("causes %v", c)
	}
	if e := r.Figures.Elections[0]; e.LeaderMS != 1000 || e.WriteMS != 1200 {
		t.Errorf("election %+v", e)
	}
	if d := r.Figures.Spread; d.Count != 1 || d.P99 != 30 {
		t.Errorf("spread %+v", d)
	}
}

func TestThePageNeedsNothingElse(t *testing.T) {
	var b bytes.Buffer
	if err := report.Build(sampleInput()).HTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, outside := range []string{
		"<script", "<link", "<img", "<iframe", "@import", "url(", "src=", "http:", "https:", "//",
	} {
		if i := strings.Index(page, outside); i >= 0 {
			t.Errorf("the page has %q: ...%s", outside, page[max(0, i-40):min(len(page), i+60)])
		}
	}
	for _, there := range []string{
		"<svg", "prefers-color-scheme: dark", "nothing &lt;happens&gt;", "writes &amp; reads", "class=\"inflight\"",
		"class=\"failed\"",
		"class=\"own\"", "class=\"far\"", "class=\"kill\"", "class=\"lost\"", "class=\"leader\"", "class=\"policy\"",
		"class=\"start\"", "missing: r9",
	} {
		if !strings.Contains(page, there) {
			t.Errorf("the page has no %q", there)
		}
	}
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "<happens>") {
		t.Error("the template met a value that it does not trust, or one that it should not have trusted")
	}
}

func TestThePictureIsWellFormed(t *testing.T) {
	var b bytes.Buffer
	if err := report.Build(sampleInput()).HTML(&b); err != nil {
		t.Fatal(err)
	}
	svg := regexp.MustCompile(`(?s)<svg.*</svg>`).FindString(b.String())
	elements := 0
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; elements++ {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if elements < 50 {
		t.Errorf("only %d elements", elements)
	}
}

func TestTheTextAndTheJSONSayTheSame(t *testing.T) {
	r := report.Build(sampleInput())
	var text, data bytes.Buffer
	if err := errors.Join(r.Text(&text), r.JSON(&data)); err != nil {
		t.Fatal(err)
	}
	var back report.Report
	if err := json.Unmarshal(data.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Pass != r.Pass || len(back.Steps) != 2 || len(back.Verdict.Findings) != len(oracle.Rules()) {
		t.Errorf("JSON: %+v", back)
	}
	for _, want := range []string{
		"3 writes of users: 1 acknowledged, 1 failed, 1 without an outcome; refused on the way 2 times, 1 sent on",
		"evacuate                   region              2     1.0s            150 / 150 ms",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, text.String())
		}
	}
	if u := back.Figures.Units; u == nil || u.Refused != 2 || u.Switchovers[0].Closed.Max != 150 {
		t.Errorf("JSON: units %+v", u)
	}
	for _, f := range back.Verdict.Findings {
		if !strings.Contains(text.String(), f.Rule) || !strings.Contains(text.String(), f.Measured) {
			t.Errorf("the text does not say %s: %s", f.Rule, f.Measured)
		}
	}
	for _, want := range []string{"never reached [r9]", "1: " + record.CauseUnreachable, "new leader a after 1000 ms"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text does not say %q", want)
		}
	}
}

func TestAnInterruptedDrillNeverPasses(t *testing.T) {
	in := sampleInput()
	in.Verdict.Pass = true
	in.Interrupted = "stopped in step 2"
	r := report.Build(in)
	if r.Pass || !strings.HasPrefix(r.Headline(), "INTERRUPTED") {
		t.Errorf("pass %v, headline %q", r.Pass, r.Headline())
	}
}

func TestSpeedFailsAStrictDrillOnly(t *testing.T) {
	in := sampleInput()
	in.Verdict = oracle.Verdict{Pass: true, Findings: []oracle.Finding{{Rule: "x", Pass: true}, {Rule: "y", Speed: true}}}
	if r := report.Build(in); !r.Pass || !strings.Contains(r.Headline(), "1 of 1 bounds of speed") {
		t.Errorf("pass %v, headline %q", r.Pass, r.Headline())
	}
	in.Strict = true
	if r := report.Build(in); r.Pass || !strings.HasPrefix(r.Headline(), "FAIL") {
		t.Errorf("strict: pass %v, headline %q", r.Pass, r.Headline())
	}
}

func TestAReportOfNothingCanBeWritten(t *testing.T) {
	r := report.Build(report.Input{Began: at(0), Ended: at(0)})
	if err := errors.Join(r.Text(io.Discard), r.JSON(io.Discard), r.HTML(io.Discard)); err != nil {
		t.Error(err)
	}
}
