package sim

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// journal keeps the last lines of everybody's log, and of the run itself.
type journal struct {
	began time.Time
	mu    sync.Mutex
	lines []string
	next  int
}

const journalLines = 4000

// attribute writes times as they are counted in a run.
func (j *journal) attribute(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.String("at", fmt.Sprintf("%.3f", a.Value.Time().Sub(j.began).Seconds()))
	}
	return a
}

// Write implements io.Writer.
func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lines) < journalLines {
		j.lines = append(j.lines, string(line))
	} else {
		j.lines[j.next%journalLines] = string(line)
	}
	j.next++
	return len(line), nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.next <= journalLines {
		return strings.Join(j.lines, "")
	}
	at := j.next % journalLines
	return strings.Join(j.lines[at:], "") + strings.Join(j.lines[:at], "")
}
