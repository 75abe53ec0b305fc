package drill

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/record"
)

// fieldManager is who the drill is to the API.
const fieldManager = "pentad-drill"

const (
	// writers is how many objects are written all the time, each by a writer of its own: one that waits for a dead server
	// does not hide the others.
	writers = 3
	// writeTimeout bounds a write with the client's own repetitions.
	writeTimeout = 500 * time.Millisecond
	// writePause is between the writes of one writer, quickPause while a new leader is waited for.
	writePause = 250 * time.Millisecond
	quickPause = 20 * time.Millisecond
)

// writerName is the name of a writer's object, a policy of a service that nobody has.
func writerName(i int) string { return fmt.Sprintf("drill-writer-%d", i) }

// writer writes one object again and again, always another spec, and notes each outcome.
type writer struct {
	name   string
	client *client.Client
	book   *book
	quick  *atomic.Bool
}

// newWriter prefers another server than its siblings.
func (d *Drill) newWriter(i int) (*writer, error) {
	addresses := d.site.API()
	first := i % len(addresses)
	c, err := d.site.Client(writeTimeout, append(addresses[first:len(addresses):len(addresses)], addresses[:first]...)...)
	return &writer{name: writerName(i), client: c, book: d.book, quick: &d.quickWrites}, err
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) error {
	defer w.client.Close()
	for n := 1; ; n++ {
		w.write(ctx, n)
		pause := writePause
		if w.quick.Load() {
			pause = quickPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// write makes one attempt. It is not cut short when the drill ends: its outcome would be unknown.
func (w *writer) write(ctx context.Context, n int) {
	out := oracle.Write{Name: w.name, Begin: record.Now()}
	policy, err := w.client.ServicePolicies().Apply(context.WithoutCancel(ctx), writerPolicy(w.name, n), applyOptions())
	out.End = record.Now()
	if err != nil {
		out.Error = err.Error()
	} else {
		out.Acknowledged, out.Generation = true, policy.Generation
	}
	w.book.wrote(out)
}

// writerPolicy differs in its spec from the one written before.
func writerPolicy(name string, n int) *v1alpha1.ServicePolicy {
	return &v1alpha1.ServicePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.ServicePolicySpec{
			Service:  name,
			Timeouts: &v1alpha1.Timeouts{Request: &metav1.Duration{Duration: time.Second + time.Duration(n)*time.Millisecond}},
		},
	}
}

func applyOptions() metav1.ApplyOptions {
	return metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
}

// finals are the writers' objects as each server shows them.
func (d *Drill) finals(ctx context.Context) (map[string]map[string]oracle.Object, error) {
	finals := map[string]map[string]oracle.Object{}
	for i, address := range d.site.API() {
		c, err := d.site.Client(statusTimeout, address)
		if err != nil {
			return nil, err
		}
		list, err := c.ServicePolicies().List(ctx, metav1.ListOptions{})
		c.Close()
		if err != nil {
			return nil, fmt.Errorf("server %s: %w", address, err)
		}
		objects := map[string]oracle.Object{}
		for _, p := range list.Items {
			objects[p.Name] = oracle.Object{Generation: p.Generation}
		}
		finals[d.site.Estate().Places()[i].Center] = objects
	}
	return finals, nil
}
