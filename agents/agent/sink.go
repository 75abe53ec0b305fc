package agent

import (
	"errors"
	"fmt"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
)

// ErrNotAnswered is returned to a source that states changes before the whole set.
var ErrNotAnswered = errors.New("changes before the whole set")

// sink takes what one Run of a source hands over into the source's feed. A mistake of an adapter must not get into a
// feed, so every record is checked once more.
type sink struct {
	writer *writer
	report *report
	// answered: this Run has stated the whole set.
	answered bool
}

// Replace is source.Sink's.
func (s *sink) Replace(whole []feed.Change) error {
	count, err := tally(whole, false)
	if err != nil {
		return err
	}
	if err := s.writer.replace(whole); err != nil {
		return err
	}
	s.answered = true
	s.report.replaced(count)
	return nil
}

// Apply is source.Sink's.
func (s *sink) Apply(changes []feed.Change) error {
	if !s.answered {
		return fmt.Errorf("feed %s: %w", s.writer.log.ID(), ErrNotAnswered)
	}
	count, err := tally(changes, true)
	if err != nil {
		return err
	}
	if err := s.writer.commit(changes...); err != nil {
		return err
	}
	s.report.applied(count)
	return nil
}

// Problem is source.Sink's.
func (s *sink) Problem(err error) { s.report.problem(err) }

// tally checks the changes and says how many endpoints each record has: -1 for a service, none for what is gone.
func tally(changes []feed.Change, deletions bool) (map[string]int, error) {
	count := make(map[string]int, len(changes))
	for _, c := range changes {
		key := c.Kind + " " + c.Key
		switch {
		case c.Kind != model.KindService && c.Kind != model.KindEndpointSlice:
			return nil, fmt.Errorf("%s %q: %w in a source's feed", c.Kind, c.Key, model.ErrUnknownKind)
		case c.Value == nil && deletions:
			count[key] = gone
		case c.Kind == model.KindService:
			if _, err := model.DecodeService(c.Key, c.Value); err != nil {
				return nil, err
			}
			count[key] = aService
		default:
			slice, err := model.DecodeEndpointSlice(c.Key, c.Value)
			if err != nil {
				return nil, err
			}
			count[key] = len(slice.GetEndpoints())
		}
	}
	return count, nil
}

// What tally says of records that are no slice.
const (
	aService = -1
	gone     = -2
)
