package client

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

var errGroups = errors.New("reading needs group pentad:viewers")

// TestARefusalOfAPageIsSaidInItsOwnWords: the API server's, which is a Status, and the page's own, which is text.
func TestARefusalOfAPageIsSaidInItsOwnWords(t *testing.T) {
	forbidden := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		refuse(apierrors.NewForbidden(schema.GroupResource{Resource: "servers"}, "", errGroups))(w, r)
	})
	_, err := newTestClient(t, time.Minute, forbidden).Members(t.Context())
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), errGroups.Error()) {
		t.Errorf("forbidden: %v", err)
	}
	wrong := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "name: no such server", http.StatusUnprocessableEntity)
	})
	if _, err := newTestClient(t, time.Minute, wrong).OrderMember(t.Context(), "s9", Promote, false); err == nil ||
		!strings.Contains(err.Error(), "refused: name: no such server") {
		t.Errorf("a page's own refusal: %v", err)
	}
}

func TestAClientCertificateThatHasEndedIsNamed(t *testing.T) {
	s := newServer(t, center)
	leaf, pair := s.Certificate(), s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	config := &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{
		CertData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		KeyData:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}}
	if err := inForce(config, leaf.NotBefore.Add(time.Hour)); err != nil {
		t.Errorf("one that is in force: %v", err)
	}
	for _, now := range []time.Time{leaf.NotBefore.Add(-time.Hour), leaf.NotAfter.Add(time.Hour)} {
		if err := inForce(config, now); err == nil || !strings.Contains(err.Error(), "renew it, or set the clock") {
			t.Errorf("at %s: %v", now, err)
		}
	}
}
