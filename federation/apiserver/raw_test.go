package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const api = "/apis/pentad.dev/v1alpha1/"

// answer is what a request got, as it came.
type answer struct {
	code   int
	body   string
	status metav1.Status // of a refusal
}

// says tells whether a refusal has this code and names the field with all of the words.
func (a answer) says(code int, field string, words ...string) bool {
	if a.code != code || a.status.Details == nil {
		return false
	}
	for _, cause := range a.status.Details.Causes {
		all := cause.Field == field
		for _, word := range words {
			all = all && strings.Contains(cause.Message, word)
		}
		if all {
			return true
		}
	}
	return false
}

// do makes one request as a user of groups; without any, without a certificate.
func (s *served) do(t testing.TB, groups []string, method, path, contentType, body string, headers ...string) answer {
	t.Helper()
	config := s.users.client("tester", groups...)
	if groups == nil {
		config.Certificates = nil
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.address+path, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{code: response.StatusCode, body: string(content)}
	if a.code >= http.StatusBadRequest {
		if err := json.Unmarshal(content, &a.status); err != nil && a.code != http.StatusUnauthorized {
			t.Logf("%s %s: %d %s", method, path, a.code, content)
		}
	}
	return a
}

// centerJSON is a center with this metadata, as it goes over the wire.
func centerJSON(metadata string) string {
	return fmt.Sprintf(`{"apiVersion":"pentad.dev/v1alpha1","kind":"Center","metadata":{%s},"spec":{"region":"hangzhou"}}`,
		metadata)
}

func admins() []string  { return []string{AdminGroup} }
func viewers() []string { return []string{ViewerGroup} }

const (
	asJSON  = "application/json"
	asYAML  = "application/yaml"
	asMerge = "application/merge-patch+json"
	asApply = "application/apply-patch+yaml"
)
