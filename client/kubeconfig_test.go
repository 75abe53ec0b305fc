package client

import (
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestKubeconfigNamesAllServers(t *testing.T) {
	first, second := newServer(t, hangUp), newServer(t, center)
	elsewhere := newServer(t, func(http.ResponseWriter, *http.Request) { t.Error("another estate was asked") })
	dir := t.TempDir()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: first.Certificate().Raw})
	for name, content := range map[string][]byte{
		"ca.pem": authority, "other.pem": append([]byte("another authority\n"), authority...),
		"kubeconfig": []byte(`
apiVersion: v1
kind: Config
current-context: z-first
clusters:
- {name: first, cluster: {server: '` + first.URL + `', certificate-authority: ca.pem}}
- {name: second, cluster: {server: '` + second.URL + `', certificate-authority: ca.pem}}
- {name: elsewhere, cluster: {server: '` + elsewhere.URL + `', certificate-authority: other.pem}}
users:
- {name: admin, user: {}}
- {name: other, user: {}}
contexts:
- {name: a-second, context: {cluster: second, user: admin}}
- {name: b-elsewhere, context: {cluster: elsewhere, user: admin}}
- {name: c-second-again, context: {cluster: second, user: admin}}
- {name: d-other-user, context: {cluster: second, user: other}}
- {name: z-first, context: {cluster: first, user: admin}}
`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := FromKubeconfig(filepath.Join(dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.endpoints) != 2 || c.endpoints[0].url != first.URL || c.endpoints[1].url != second.URL {
		t.Fatalf("endpoints %+v, want %s then %s", c.endpoints, first.URL, second.URL)
	}
	c.timeout = time.Minute // as a busy machine may need
	if _, err := c.Centers().Get(t.Context(), "hz-a", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := FromKubeconfig(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no file: %v", err)
	}
}
