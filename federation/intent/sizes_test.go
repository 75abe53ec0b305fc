package intent

import (
	"fmt"
	"strings"
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
)

// TestWhatTheFeedCannotCarryIsRefused: a declaration may be longer in the feed than as it was proposed, since an
// encoder writes some characters as six. What no record can hold must be a refusal, not the end of every server.
func TestWhatTheFeedCannotCarryIsRefused(t *testing.T) {
	if err := longDeclarations(t, Config{}); err != nil {
		t.Error(err)
	}
	if longDeclarations(t, Config{broken: brokenLongRecords}) == nil {
		t.Error("long records are taken: not found")
	}
}

func longDeclarations(t *testing.T, config Config) (err error) {
	e := withUnits(t, config)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a server stops: %v", r)
		}
	}()
	big := store("big", "hz-a", "sh-a", "sz-a")
	for i := range big.Spec.Members {
		big.Spec.Members[i].Webhook.URL = "http://127.0.0.1/?" + strings.Repeat("&", 2000)
	}
	e.fresh(big, e.View().Lookup())
	value := func(labels int) []byte {
		big.Labels = map[string]string{}
		for i := range labels {
			big.Labels[fmt.Sprintf("%s.example/%s%05d", strings.Repeat("p", 60), strings.Repeat("n", 58), i)] = strings.Repeat("v", 63)
		}
		return []byte(strings.ReplaceAll(string(toJSON(big)), `\u0026`, "&"))
	}
	const tooMany, enough = 5160, 4800
	if n := len(value(tooMany)); n > MaxValue {
		t.Fatalf("the test's object has %d bytes", n)
	}
	refused := func(r Result) error {
		if r.OK || len(r.Refused) != 1 || r.Refused[0].Field != "spec" || !strings.Contains(r.Refused[0].Message, fmt.Sprint(feed.MaxValue)) {
			return fmt.Errorf("answered with %v %+v, want a refusal that names spec and %d", r.OK, r.Refused, feed.MaxValue)
		}
		return nil
	}
	if err := refused(e.do(e.creation(v1alpha1.KindStore, big.Name, value(tooMany)))); err != nil {
		return fmt.Errorf("a creation is %w", err)
	}
	e.must(e.creation(v1alpha1.KindStore, big.Name, value(enough)))
	now, _ := e.View().Get(v1alpha1.KindStore, big.Name)
	big.Status = typed(now).(*v1alpha1.Store).Status
	if err := refused(e.do(e.replacement(v1alpha1.KindStore, big.Name, value(tooMany), now.Revision))); err != nil {
		return fmt.Errorf("an update is %w", err)
	}
	return nil
}
