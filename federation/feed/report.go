package feed

// Report is a feed's state as the status page shows it.
type Report struct {
	Position string `json:"position"`
	// Digest is of the live records: two holders at one position have the same.
	Digest  string `json:"digest"`
	Records int    `json:"records"`
	Stale   bool   `json:"stale,omitempty"`
	Home    bool   `json:"home,omitempty"`
	// AgeSeconds is how long ago the writer was alive; absent when it was never heard of.
	AgeSeconds *float64 `json:"ageSeconds,omitempty"`
}

// Report is the state of this feed.
func (l *Log) Report() Report {
	status := l.Status()
	report := Report{
		Position: status.Position.String(), Digest: status.Digest.String(), Records: status.Records,
		Stale: status.Stale, Home: status.Home,
	}
	if status.Heard {
		age := status.Age.Seconds()
		report.AgeSeconds = &age
	}
	return report
}

// Report is the state of every feed of the set.
func (s *Set) Report() map[ID]Report {
	reports := map[ID]Report{}
	for _, id := range s.IDs() {
		if l, ok := s.Get(id); ok {
			reports[id] = l.Report()
		}
	}
	return reports
}
