package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
)

// api is the clients of a Kubernetes-style API: Pentad's, or the one over etcd.
type api struct {
	apis    [][]*client.Client // by server, by connection
	objects []*v1alpha1.Center // by client, as last written
	made    atomic.Int64       // objects that were created
}

// dialAPI connects the clients to one more server.
func (a *api) dialAPI(address string, config *tls.Config) error {
	var clients []*client.Client
	for range connections {
		c, err := client.New(client.Config{Endpoints: []string{address}, TLS: config})
		if err != nil {
			return err
		}
		clients = append(clients, c)
	}
	a.apis = append(a.apis, clients)
	return nil
}

func (a *api) hangUp() {
	for _, clients := range a.apis {
		for _, c := range clients {
			c.Close()
		}
	}
}

func (a *api) centers(server, of int) client.Resource[*v1alpha1.Center, *v1alpha1.CenterList] {
	return a.apis[server][of%connections].Centers()
}

// seed makes an object for each client, of that size as JSON.
func (a *api) seed(ctx context.Context, server, size int) error {
	a.objects = make([]*v1alpha1.Center, mostClients)
	for i := range mostClients {
		name := fmt.Sprintf("bench-%d-%03d", size, i)
		padding := 0
		for {
			object := &v1alpha1.Center{
				ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"bench": pad(0, 0, padding)}},
				Spec:       v1alpha1.CenterSpec{Region: "bench", Role: v1alpha1.CenterFull},
			}
			made, err := a.seedOne(ctx, server, object)
			if err != nil {
				return err
			}
			value, err := stored(made)
			if err != nil {
				return err
			}
			if len(value) >= size-8 {
				a.objects[i] = made
				break
			}
			padding += size - len(value)
			if err := a.centers(server, 0).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// seedOne waits for the API, which opens a moment after the first leader is there.
func (a *api) seedOne(ctx context.Context, server int, object *v1alpha1.Center) (*v1alpha1.Center, error) {
	for deadline := time.Now().Add(30 * time.Second); ; {
		made, err := a.centers(server, 0).Create(ctx, object, metav1.CreateOptions{})
		if err == nil || time.Now().After(deadline) || apierrors.IsInvalid(err) || ctx.Err() != nil {
			return made, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// updates writes each client's object through the API of one server.
func (a *api) updates(server int) operation {
	return func(ctx context.Context, client, i int) error {
		object := a.objects[client]
		object.Annotations["bench"] = pad(client, i, len(object.Annotations["bench"]))
		made, err := a.centers(server, client).Update(ctx, object, metav1.UpdateOptions{})
		if err == nil {
			a.objects[client] = made
		}
		return err
	}
}

// creates writes new objects of the same size through the API of one server.
func (a *api) creates(server int) operation {
	return func(ctx context.Context, client, i int) error {
		object := &v1alpha1.Center{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("made-%d", a.made.Add(1)), Annotations: a.objects[client].Annotations,
			},
			Spec: a.objects[client].Spec,
		}
		_, err := a.centers(server, client).Create(ctx, object, metav1.CreateOptions{})
		return err
	}
}

// stored is an object as the state machine keeps it: without the resourceVersion.
func stored(object *v1alpha1.Center) ([]byte, error) {
	object = object.DeepCopy()
	object.ResourceVersion = ""
	object.APIVersion, object.Kind = v1alpha1.GroupVersion.String(), v1alpha1.KindCenter
	return json.Marshal(object)
}

// pad is text of that length that differs from request to request.
func pad(client, i, length int) string {
	text := fmt.Sprintf("%d-%d-", client, i)
	return text + strings.Repeat("x", max(0, length-len(text)))
}
