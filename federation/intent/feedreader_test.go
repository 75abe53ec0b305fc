package intent

import (
	"fmt"
	"reflect"

	"pentad.dev/pentad/federation/feed"
)

// feedReader follows a feed at its own speed.
type feedReader struct {
	cursor *feed.Cursor
	at     feed.Position
	has    map[string]string
}

func newFeedReader(log *feed.Log) *feedReader {
	return &feedReader{cursor: log.Cursor(feed.Position{}), has: map[string]string{}}
}

func (r *feedReader) read(batches int) {
	for range batches {
		b, ok := r.cursor.Next()
		if !ok {
			return
		}
		if b.Reset {
			clear(r.has)
		}
		for _, record := range b.Records {
			k := record.Kind + "/" + record.Key
			if record.Value == nil {
				delete(r.has, k)
			} else {
				r.has[k] = string(record.Value)
			}
		}
		r.at = b.To
	}
}

// same reads to the end and compares.
func (r *feedReader) same(log *feed.Log) error {
	r.read(1 << 20)
	want := map[string]string{}
	for record := range log.All() {
		want[record.Kind+"/"+record.Key] = string(record.Value)
	}
	if r.at != log.Position() || !reflect.DeepEqual(r.has, want) {
		return fmt.Errorf("a reader of the feed at %s shows\n%v, the feed at %s\n%v", r.at, r.has, log.Position(), want)
	}
	return nil
}
