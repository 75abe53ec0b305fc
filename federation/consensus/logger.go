package consensus

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// quietFor is how long the same complaint is not repeated: raft says some ten times a second that it cannot reach a
// voter, and an operator reads the log when exactly that is the case.
const quietFor = 10 * time.Second

// logger hands raft's log to slog.
type logger struct {
	hclog.Logger // a null logger, for the methods that nobody calls
	to           *slog.Logger
	name         string
	implied      []any
	quiet        *quiet
}

// quiet remembers when which complaint was last made and how often it was held back since.
type quiet struct {
	mu   sync.Mutex
	last map[string]time.Time
	held map[string]int
}

func newLogger(to *slog.Logger, name string) hclog.Logger {
	return &logger{Logger: hclog.NewNullLogger(), to: to.With("part", name), name: name,
		quiet: &quiet{last: map[string]time.Time{}, held: map[string]int{}}}
}

// Log implements hclog.Logger.
func (l *logger) Log(level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Info:
		to = slog.LevelInfo
	case hclog.Warn:
		to = slog.LevelWarn
	case hclog.Error:
		to = slog.LevelError
	}
	if !l.to.Enabled(context.Background(), to) {
		return
	}
	args = append(append([]any(nil), l.implied...), args...)
	for i := 1; i < len(args); i += 2 {
		switch v := args[i].(type) {
		case hclog.Format:
			args[i] = fmt.Sprintf(v[0].(string), v[1:]...)
		case error:
		case fmt.Stringer:
			args[i] = v.String()
		}
	}
	if to >= slog.LevelWarn {
		held, speak := l.quiet.ask(msg, args)
		if !speak {
			return
		}
		if held > 0 {
			args = append(args, "heldBack", held)
		}
	}
	l.to.Log(context.Background(), to, msg, args...)
}

// ask says whether a complaint may be made, and how many of its kind were held back before it.
func (q *quiet) ask(msg string, args []any) (held int, speak bool) {
	key := msg
	for i := 0; i+1 < len(args); i += 2 {
		if k, ok := args[i].(string); ok && k != "error" && k != "time" && k != "backoff time" && k != "next" {
			key += fmt.Sprint(args[i+1])
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if now.Sub(q.last[key]) < quietFor {
		q.held[key]++
		return 0, false
	}
	if len(q.last) > 1000 {
		clear(q.last)
		clear(q.held)
	}
	held = q.held[key]
	q.last[key], q.held[key] = now, 0
	return held, true
}

// Trace implements hclog.Logger; raft-wal and raft say nothing of use at this level.
func (l *logger) Trace(string, ...any) {}

// Debug implements hclog.Logger.
func (l *logger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }

// Info implements hclog.Logger.
func (l *logger) Info(msg string, args ...any) { l.Log(hclog.Info, msg, args...) }

// Warn implements hclog.Logger.
func (l *logger) Warn(msg string, args ...any) { l.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (l *logger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

// With implements hclog.Logger.
func (l *logger) With(args ...any) hclog.Logger {
	c := *l
	c.implied = append(append([]any(nil), l.implied...), args...)
	return &c
}

// Named implements hclog.Logger.
func (l *logger) Named(name string) hclog.Logger { return l }

// ResetNamed implements hclog.Logger.
func (l *logger) ResetNamed(name string) hclog.Logger { return l }

// Name implements hclog.Logger.
func (l *logger) Name() string { return l.name }

// ImpliedArgs implements hclog.Logger.
func (l *logger) ImpliedArgs() []any { return l.implied }

// StandardLogger implements hclog.Logger.
func (l *logger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(io.Discard, "", 0)
}
