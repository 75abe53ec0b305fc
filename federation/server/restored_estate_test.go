package server

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
)

// lose ends a server, and takes its disk.
func (e *estate) lose(i int) {
	e.t.Helper()
	e.stop(i)
	check(e.t, os.RemoveAll(e.configs[i].DataDir))
}

// restore makes a server from a backup, and starts it.
func (e *estate) restore(i int, file []byte, longest time.Duration) NewLife {
	e.t.Helper()
	life, err := Restoration{Config: e.configs[i], LongestPermit: longest}.Restore(bytes.NewReader(file))
	check(e.t, err)
	e.start(i)
	return life
}

// joins starts servers without disks with tokens, and makes voters of them.
func (e *estate) joins(api *client.Client, servers ...int) {
	e.t.Helper()
	for _, i := range servers {
		e.token(api, i)
		e.start(i)
	}
	for _, i := range servers {
		comes(e.t, "promotion of "+e.configs[i].Name, func() error {
			_, err := api.OrderMember(e.t.Context(), e.configs[i].Name, client.Promote, false)
			return err
		})
	}
	voters := func() (n int) {
		members, err := api.Members(e.t.Context())
		if err != nil {
			return 0
		}
		for _, m := range members.Members {
			if m.Role == "voter" {
				n++
			}
		}
		return n
	}
	eventually(e.t, "vote for everyone", patient, func() bool { return voters() == len(servers)+1 })
}

// token has a server join at its next start.
func (e *estate) token(api *client.Client, i int) {
	e.t.Helper()
	var token *client.Token
	eventually(e.t, "token", patient, func() (ok bool) {
		var err error
		token, err = api.Invite(e.t.Context(), time.Hour)
		return err == nil
	})
	path := filepath.Join(e.t.TempDir(), "token")
	check(e.t, os.WriteFile(path, []byte(token.Token+"\n"), 0o600))
	e.configs[i].Join = &Join{TokenFile: path}
}

// mirror is a cache of Centers as kubectl and client-go keep one: it lists, watches from there, and lists again when the
// watch has ended with 410.
type mirror struct {
	api *client.Client

	mu      sync.Mutex
	centers map[string]string // resourceVersion by name
	gone    int               // how often it was told to list again
	emptied int               // how often a list was empty
}

func (m *mirror) run(ctx context.Context) error {
	for at := ""; ctx.Err() == nil; {
		if at == "" {
			list, err := m.api.Centers().List(ctx, metav1.ListOptions{})
			if err != nil {
				pause(ctx, 20*time.Millisecond)
				continue
			}
			m.mu.Lock()
			m.centers = map[string]string{}
			for _, c := range list.Items {
				m.centers[c.Name] = c.ResourceVersion
			}
			if len(m.centers) == 0 {
				m.emptied++
			}
			m.mu.Unlock()
			at = list.ResourceVersion
		}
		at = m.watch(ctx, at)
		pause(ctx, 20*time.Millisecond)
	}
	return nil
}

// watch follows from a resourceVersion; it returns from where to go on, empty: from the beginning.
func (m *mirror) watch(ctx context.Context, at string) string {
	stream, err := m.api.Centers().Watch(ctx, metav1.ListOptions{ResourceVersion: at, AllowWatchBookmarks: true})
	if err != nil {
		return m.after(err, at)
	}
	defer stream.Stop()
	for event := range stream.ResultChan() {
		if event.Type == watch.Error {
			return m.after(apierrors.FromObject(event.Object), at)
		}
		center := event.Object.(*v1alpha1.Center)
		at = center.ResourceVersion
		m.mu.Lock()
		switch event.Type {
		case watch.Added, watch.Modified:
			m.centers[center.Name] = center.ResourceVersion
		case watch.Deleted:
			delete(m.centers, center.Name)
		}
		m.mu.Unlock()
	}
	return at
}

func (m *mirror) after(err error, at string) string {
	if !apierrors.IsGone(err) && !apierrors.IsResourceExpired(err) {
		return at
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone++
	return ""
}

// has says whether the cache is as the API has it now.
func (m *mirror) has(t *testing.T, api *client.Client) bool {
	list, err := api.Centers().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range list.Items {
		if m.centers[c.Name] != c.ResourceVersion {
			return false
		}
	}
	return len(list.Items) == len(m.centers)
}

// backup is one through each server in turn, which must be as new as what was acknowledged before.
func (e *estate) backup(i int) []byte {
	e.t.Helper()
	var file bytes.Buffer
	check(e.t, e.api(i, patient).Backup(e.t.Context(), &file))
	return file.Bytes()
}

// waitsFor is what the estate says that it waits for.
func (u *units) waitsFor() []string {
	r, err := u.api.Reconciliation(u.t.Context())
	if err != nil {
		return []string{err.Error()}
	}
	return r.Waiting
}

// highest is the highest epoch that any map has.
func (u *units) highest() (epoch uint64) {
	for _, m := range u.state().Maps {
		for _, r := range m.Ranges {
			epoch = max(epoch, r.Since)
		}
	}
	return epoch
}

func sinceOf(writes []write, shard int, cell string, after time.Time) (since uint64) {
	for _, w := range writes {
		if w.shard == shard && w.cell == cell && w.acknowledged && w.asked.After(after) {
			since = max(since, w.since)
		}
	}
	return since
}

var ofUnit = map[string]int{"rz01": 0, "rz02": 9}

func cellsOf(u *units, unit string) []string {
	r, _ := u.state().MapAt("users", ofUnit[unit])
	return slices.Clone(r.Cells)
}
