package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"pentad.dev/pentad/crds/v1alpha1"
)

// server answers each request as the test says, and counts them.
type server struct {
	*httptest.Server
	requests atomic.Int64
}

func newServer(t *testing.T, answer http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		answer(w, r)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// newTestClient goes to the servers in order.
func newTestClient(t *testing.T, timeout time.Duration, servers ...*server) *Client {
	t.Helper()
	roots := x509.NewCertPool()
	var endpoints []string
	for _, s := range servers {
		roots.AddCert(s.Certificate())
		endpoints = append(endpoints, s.URL)
	}
	c, err := New(Config{Endpoints: endpoints, TLS: &tls.Config{RootCAs: roots}, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func send(w http.ResponseWriter, code int, obj any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(obj)
}

func refuse(err *apierrors.StatusError) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		status := err.Status()
		status.APIVersion, status.Kind = "v1", "Status"
		send(w, int(status.Code), status)
	}
}

func center(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	out := &v1alpha1.Center{}
	_ = json.Unmarshal(body, out)
	out.APIVersion, out.Kind = v1alpha1.GroupVersion.String(), v1alpha1.KindCenter
	out.Name = "hz-a"
	send(w, http.StatusOK, out)
}

// hangUp ends the connection after the request was read.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func hzA() *v1alpha1.Center {
	return &v1alpha1.Center{ObjectMeta: metav1.ObjectMeta{Name: "hz-a"}, Spec: v1alpha1.CenterSpec{Region: "hangzhou"}}
}

var applying = metav1.ApplyOptions{FieldManager: "test"}

func TestAnotherServerIsAsked(t *testing.T) {
	unavailable := refuse(apierrors.NewServiceUnavailable("no quorum"))
	calls := map[string]func(*Client) error{
		"get": func(c *Client) error { _, err := c.Centers().Get(t.Context(), "hz-a", metav1.GetOptions{}); return err },
		"create": func(c *Client) error {
			_, err := c.Centers().Create(t.Context(), hzA(), metav1.CreateOptions{})
			return err
		},
		"update": func(c *Client) error {
			_, err := c.Centers().Update(t.Context(), hzA(), metav1.UpdateOptions{})
			return err
		},
		"apply":  func(c *Client) error { _, err := c.Centers().Apply(t.Context(), hzA(), applying); return err },
		"delete": func(c *Client) error { return c.Centers().Delete(t.Context(), "hz-a", metav1.DeleteOptions{}) },
	}
	for name, call := range calls {
		for fault, first := range map[string]*server{
			"unavailable": newServer(t, unavailable), "busy": newServer(t, refuse(apierrors.NewTooManyRequestsError("busy"))),
			"down": newServer(t, center),
		} {
			if fault == "down" {
				first.Close()
			}
			second := newServer(t, center)
			c := newTestClient(t, time.Minute, first, second)
			for range 2 {
				if err := call(c); err != nil || second.requests.Load() == 0 {
					t.Errorf("%s, first server %s: %v", name, fault, err)
				}
			}
			if n := first.requests.Load(); n > 1 {
				t.Errorf("%s: the server that is %s was asked %d times, want the one that answered to be preferred", name, fault, n)
			}
		}
	}
}

func TestWriteIsNotRepeatedWhenItMayBeDone(t *testing.T) {
	for fault, answer := range map[string]http.HandlerFunc{
		"hung up":   hangUp,
		"timed out": refuse(apierrors.NewTimeoutError("leader lost", 0)),
	} {
		first, second := newServer(t, answer), newServer(t, center)
		c := newTestClient(t, time.Minute, first, second)
		for name, err := range map[string]error{
			"create": func() error {
				_, err := c.Centers().Create(t.Context(), hzA(), metav1.CreateOptions{})
				return err
			}(),
			"update": func() error {
				_, err := c.Centers().Update(t.Context(), hzA(), metav1.UpdateOptions{})
				return err
			}(),
			"delete": c.Centers().Delete(t.Context(), "hz-a", metav1.DeleteOptions{}),
		} {
			if !errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("%s, %s: %v, want outcome unknown", name, fault, err)
			}
		}
		if n := second.requests.Load(); n != 0 {
			t.Errorf("%s: the second server got %d writes that may have been done", fault, n)
		}
		if _, err := c.Centers().Apply(t.Context(), hzA(), applying); err != nil {
			t.Errorf("apply, %s: %v, want it repeated", fault, err)
		}
		// That the count above would show a client that repeats everything:
		err := c.call(t.Context(), repeatable, func(ctx context.Context, r rest.Interface) error {
			return r.Post().Resource("centers").Body(hzA()).MaxRetries(0).Do(ctx).Error()
		})
		if n := second.requests.Load(); n < 2 {
			t.Errorf("%s: a repeated create is not found: %v after %d requests", fault, err, n)
		}
	}
}

func TestRefusalsAreFinal(t *testing.T) {
	resource := v1alpha1.GroupVersion.WithResource("centers").GroupResource()
	for name, refusal := range map[string]*apierrors.StatusError{
		"not found": apierrors.NewNotFound(resource, "hz-a"),
		"conflict":  apierrors.NewConflict(resource, "hz-a", errors.New("x")),
		"forbidden": apierrors.NewForbidden(resource, "hz-a", errors.New("x")),
		"invalid":   apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("Center").GroupKind(), "hz-a", nil),
	} {
		first, second := newServer(t, refuse(refusal)), newServer(t, center)
		c := newTestClient(t, time.Minute, first, second)
		_, err := c.Centers().Get(t.Context(), "hz-a", metav1.GetOptions{})
		if apierrors.ReasonForError(err) != refusal.Status().Reason || second.requests.Load() != 0 {
			t.Errorf("%s: %v after %d more requests, want it as it is", name, err, second.requests.Load())
		}
		if !strings.HasPrefix(fmt.Sprint(err), `get Center "hz-a": `) {
			t.Errorf("%s: %v, want what was called", name, err)
		}
	}
	first := newServer(t, center)
	c := newTestClient(t, time.Minute, first)
	if _, err := c.Centers().Get(t.Context(), "", metav1.GetOptions{}); err == nil || first.requests.Load() != 0 {
		t.Errorf("a name that cannot be: %v after %d requests, want it refused at once", err, first.requests.Load())
	}
	if _, err := c.Centers().Apply(t.Context(), hzA(), metav1.ApplyOptions{}); err == nil ||
		!strings.Contains(err.Error(), "fieldManager: must be set") {
		t.Errorf("apply of nobody: %v", err)
	}
}

func TestApplySendsTheDeclarationOnly(t *testing.T) {
	var body map[string]any
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&body)
		center(w, r)
	})
	object := hzA()
	object.UID, object.ResourceVersion, object.Generation, object.Status.ObservedGeneration = "u", "7", 3, 3
	object.Labels = map[string]string{"a": "b"}
	if _, err := newTestClient(t, time.Minute, s).Centers().Apply(t.Context(), object, applying); err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(body)
	want := `{"apiVersion":"pentad.dev/v1alpha1","kind":"Center","metadata":{"labels":{"a":"b"},"name":"hz-a"},` +
		`"spec":{"region":"hangzhou"}}`
	if string(got) != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for want, cfg := range map[string]Config{
		"exactly one must be set":                       {Endpoints: []string{"a:1"}},
		"must name a server":                            {TLS: &tls.Config{}},
		`endpoints[1]: "http://a:1": must be host:port`: {TLS: &tls.Config{}, Endpoints: []string{"b:2", "http://a:1"}},
		"without a path":                                {TLS: &tls.Config{}, Endpoints: []string{"https://a:1/x"}},
		"must not be negative":                          {TLS: &tls.Config{}, Endpoints: []string{"a:1"}, Timeout: -1},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	c, err := New(Config{REST: &rest.Config{Host: listener.Addr().String()}})
	if err != nil || len(c.endpoints) != 1 || c.endpoints[0].url != "https://"+listener.Addr().String() {
		t.Errorf("%+v, %v: want the Host of the REST config", c, err)
	}
}
