package feed

import (
	"fmt"
	"unicode/utf8"
)

// maxLabel bounds a label, in bytes.
const maxLabel = 256

// Label is what the owner of this copy holds it for, as the UID of the object that the feed is of: a name that is used
// again is told apart by it. Empty: the owner has not said.
func (l *Log) Label() string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.label
}

// SetLabel says what the copy is held for from now on. The label is kept on the disk with the content, in one snapshot,
// and goes with a reset to who copies it; whoever gets the whole set from the writer itself gets none. It moves no
// position and wakes no reader. ErrTooLarge above 256
// bytes, ErrNotText for what is not UTF-8.
func (l *Log) SetLabel(label string) error {
	if len(label) > maxLabel {
		return fmt.Errorf("feed %s: label %q…: %w: %d bytes, at most %d", l.id, label[:64], ErrTooLarge, len(label), maxLabel)
	}
	if !utf8.ValidString(label) {
		return fmt.Errorf("feed %s: label %q: %w", l.id, label, ErrNotText)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.label != label {
		l.label = label
		l.notify(labelled)
	}
	return nil
}
