package report

import (
	"cmp"
	"math"
	"slices"
	"time"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/record"
)

// Input is what a drill knows at its end.
type Input struct {
	Version     string
	Started     time.Time
	Began       record.Time
	Ended       record.Time
	Machine     Machine
	Interrupted string
	Strict      bool
	Bounds      oracle.Bounds
	History     oracle.History
	Verdict     oracle.Verdict
	Steps       []Span
	Centers     []Center // without buckets
	Marks       []Event
	// Detections are times from an instance's sudden death to the last data plane.
	Detections []time.Duration
}

// Span is a step as it ran.
type Span struct {
	Number     int
	Name, What string
	From, To   record.Time
	Notes      []string
}

// Event becomes a Mark.
type Event struct {
	At                 record.Time
	Kind, Center, Text string
}

// Build makes the report.
func Build(in Input) Report {
	b := builder{Input: in, accountant: oracle.NewAccountant(in.History)}
	a := in.Verdict.Accounts
	r := Report{
		Version: in.Version, Started: in.Started, Seconds: b.seconds(in.Ended), Machine: in.Machine,
		Interrupted: in.Interrupted,
		Pass: in.Verdict.Pass && in.Interrupted == "" &&
			(in.Verdict.Fast || !in.Strict), Strict: in.Strict, Verdict: in.Verdict, Bounds: in.Bounds,
		Figures: Figures{
			Requests: len(in.History.Requests), Failed: a.Failed(), InFlight: a.InFlight, Unknown: a.Unknown, Sharded: a.Sharded,
			Spread: Distribute(oracle.Spreads(in.History.Changes)), Detection: Distribute(in.Detections),
			Writes: Distribute(writeTimes(in.History.Writes)),
			Units:  buildUnits(in.History.Units, in.Verdict.Outages),
		},
	}
	if n := a.OK + a.Failed(); n > 0 {
		r.Figures.ErrorRatio = float64(a.Failed()) / float64(n)
	}
	for _, e := range in.History.Elections {
		r.Figures.Elections = append(r.Figures.Elections, Election{
			Step: e.Step, Old: e.Old, New: e.New, LeaderMS: since(e.Killed, e.Leader), WriteMS: since(e.Killed, e.Written),
		})
	}
	for _, span := range in.Steps {
		r.Steps = append(r.Steps, b.step(span))
	}
	r.Centers = b.timeline()
	for _, e := range in.Marks {
		r.Marks = append(r.Marks, Mark{At: b.seconds(e.At), Kind: e.Kind, Center: e.Center, Text: e.Text})
	}
	slices.SortStableFunc(r.Marks, func(x, y Mark) int { return cmp.Compare(x.At, y.At) })
	for _, c := range in.History.Changes {
		r.Changes = append(r.Changes, b.change(c))
	}
	return r
}

type builder struct {
	Input
	accountant oracle.Accountant
}

func (b builder) seconds(at record.Time) float64 { return at.Sub(b.Began).Seconds() }

func since(from, to record.Time) float64 {
	if to == 0 {
		return -1
	}
	return millis(to.Sub(from))
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Distribute sums up durations, in any order.
func Distribute(times []time.Duration) Distribution {
	times = slices.Clone(times)
	slices.Sort(times)
	return Distribution{
		Count: len(times), P50: millis(oracle.Percentile(times, 0.5)), P99: millis(oracle.Percentile(times, 0.99)),
		Max: millis(oracle.Percentile(times, 1)),
	}
}

func writeTimes(writes []oracle.Write) []time.Duration {
	var times []time.Duration
	for _, w := range writes {
		if w.Acknowledged {
			times = append(times, w.End.Sub(w.Begin))
		}
	}
	return times
}

func (b builder) step(span Span) Step {
	s := Step{
		Number: span.Number, Name: span.Name, What: span.What, From: b.seconds(span.From), To: b.seconds(span.To),
		Notes: span.Notes, Causes: map[string]int{}, Matrix: map[string]Served{},
	}
	var latencies, spreads []time.Duration
	for _, r := range b.History.Requests {
		if r.Start < span.From || r.Start >= span.To {
			continue
		}
		s.Requests++
		switch fate := b.accountant.Fate(r); fate {
		case oracle.FateOK:
			latencies = append(latencies, r.End.Sub(r.Start))
			if s.Matrix[r.Client] == nil {
				s.Matrix[r.Client] = Served{}
			}
			s.Matrix[r.Client][r.Center]++
		case oracle.FateInFlight:
			s.InFlight++
		case oracle.FateUnknown:
			s.Unknown++
		case oracle.FateSharded:
			s.Sharded++
		default:
			s.Failed++
			s.Causes[fate]++
		}
	}
	for _, c := range b.History.Changes {
		if c.Step == span.Name && !c.Superseded && len(c.Missing) == 0 && len(c.Arrivals) > 0 {
			spreads = append(spreads, c.Spread())
		}
	}
	for _, e := range b.History.Expectations {
		if e.Step == span.Name {
			s.Expectations = append(s.Expectations, e)
		}
	}
	s.Latency, s.Spread = Distribute(latencies), Distribute(spreads)
	return s
}

func (b builder) timeline() []Center {
	regions := map[string]string{}
	for _, c := range b.Centers {
		regions[c.Name] = c.Region
	}
	width := int(b.seconds(b.Ended)/BucketSeconds) + 1
	rows := map[string][]Bucket{}
	for _, r := range b.History.Requests {
		i := int(math.Floor(b.seconds(r.Start) / BucketSeconds))
		if i < 0 || i >= width {
			continue
		}
		if rows[r.Client] == nil {
			rows[r.Client] = make([]Bucket, width)
		}
		bucket := &rows[r.Client][i]
		switch fate := b.accountant.Fate(r); {
		case fate == oracle.FateInFlight || fate == oracle.FateUnknown || fate == oracle.FateSharded:
			bucket.InFlight++
		case fate != oracle.FateOK:
			bucket.Failed++
		case r.Center == r.Client:
			bucket.Own++
		case regions[r.Center] == regions[r.Client]:
			bucket.Region++
		default:
			bucket.Far++
		}
	}
	centers := slices.Clone(b.Centers)
	for i := range centers {
		centers[i].Buckets = rows[centers[i].Name]
	}
	return centers
}

func (b builder) change(c oracle.Change) Change {
	out := Change{At: b.seconds(c.At), Step: c.Step, What: c.What, Instance: c.Instance, SpreadMS: -1, Missing: c.Missing}
	if !c.Superseded && len(c.Arrivals) > 0 {
		out.SpreadMS = millis(c.Spread())
	}
	var last record.Time
	for who, at := range c.Arrivals {
		if at > last || at == last && who < out.Last {
			last, out.Last = at, who
		}
	}
	return out
}
