package server

import (
	"errors"
	"net/http"
	"time"
)

// stallsAfter is how long the reader of a backup may take nothing of it. A slow link takes something in that time; who
// does not would hold a picture of the state for ever.
const stallsAfter = 30 * time.Second

// steady writes an answer that may take long, as long as each piece of it gets on.
type steady struct {
	to       http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
}

func newSteady(w http.ResponseWriter, patience time.Duration) *steady {
	return &steady{to: w, control: http.NewResponseController(w), patience: patience}
}

// Write implements io.Writer. An error of the deadline is one of a reader that has stalled.
func (s *steady) Write(b []byte) (int, error) {
	if err := s.control.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
		return 0, err
	}
	return s.to.Write(b)
}

// finish sends what is left, and frees the connection for what comes after.
func (s *steady) finish() error {
	return errors.Join(s.control.Flush(), s.control.SetWriteDeadline(time.Time{}))
}
