package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
)

// counting is a client that adds one to a number in an object, again and again.
type counting struct {
	name           string
	acked, unknown int
	err            error
	// first is closed when a write was acknowledged.
	first chan struct{}
}

const counterKey = "test/count"

// load counts at these servers until stop; check then says whether a write was lost or was done twice.
func (e *estate) load(c *client.Client, writers int) (check func()) {
	e.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	e.t.Cleanup(stop)
	var group sync.WaitGroup
	var all []*counting
	for i := range writers {
		w := &counting{name: fmt.Sprintf("count-%d", i), first: make(chan struct{})}
		all = append(all, w)
		create(e.t, c.Centers(), center(w.name, "r1"))
		group.Go(func() { w.run(ctx, c) })
	}
	return func() {
		e.t.Helper()
		for _, w := range all {
			select {
			case <-w.first:
			case <-time.After(patient):
				e.t.Errorf("%s: no write: the test shows nothing", w.name)
			}
		}
		stop()
		group.Wait()
		for _, w := range all {
			got, err := c.Centers().Get(e.t.Context(), w.name, metav1.GetOptions{})
			if err != nil {
				e.t.Fatal(err)
			}
			n, _ := strconv.Atoi(got.Annotations[counterKey])
			e.t.Logf("%s is %d: %d writes were acknowledged, of %d it is unknown", w.name, n, w.acked, w.unknown)
			if n < w.acked || n > w.acked+w.unknown || w.err != nil {
				e.t.Errorf("%s is %d after %d acknowledged writes and %d that may have happened; %v", w.name, n, w.acked, w.unknown, w.err)
			}
		}
	}
}

func (w *counting) run(ctx context.Context, c *client.Client) {
	for ctx.Err() == nil {
		o, err := c.Centers().Get(ctx, w.name, metav1.GetOptions{})
		if err != nil {
			continue
		}
		n, _ := strconv.Atoi(o.Annotations[counterKey])
		if n < w.acked || n > w.acked+w.unknown {
			w.err = fmt.Errorf("a read showed %d after %d acknowledged writes and %d that may have happened", n, w.acked, w.unknown)
			return
		}
		o.Annotations = map[string]string{counterKey: strconv.Itoa(n + 1)}
		switch _, err := c.Centers().Update(ctx, o, metav1.UpdateOptions{}); {
		case err == nil:
			if w.acked++; w.acked == 1 {
				close(w.first)
			}
		case errors.Is(err, client.ErrOutcomeUnknown), ctx.Err() != nil:
			w.unknown++
		}
		time.Sleep(5 * time.Millisecond)
	}
}
