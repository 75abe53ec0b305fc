package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhoMayDoWhat(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	body := func(name string) string { return centerJSON(fmt.Sprintf(`"name":%q`, name)) }
	s.ready(t)
	for _, name := range []string{"hz-a", "hz-b", "hz-c"} {
		mustCreate(t, s, name)
	}
	whoami := `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`
	mayI := `{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":` +
		`{"verb":"delete","group":"pentad.dev","resource":"centers"}}}`
	const yes, no = true, false
	for _, c := range []struct {
		method, path, as, body string
		admin, viewer, other   bool
	}{
		{"GET", api + "centers", asJSON, "", yes, yes, no},
		{"GET", api + "centers/hz-a", asJSON, "", yes, yes, no},
		{"GET", api + "centers/hz-a/status", asJSON, "", yes, yes, no},
		{"GET", api + "centers?watch=true&timeoutSeconds=1", asJSON, "", yes, yes, no},
		{"POST", api + "centers?dryRun=All", asJSON, body("hz-z"), yes, no, no},
		{"PUT", api + "centers/hz-a", asJSON, body("hz-a"), yes, no, no},
		{"PATCH", api + "centers/hz-a", asMerge, "{}", yes, no, no},
		{"DELETE", api + "centers/hz-b", asJSON, "", yes, no, no},
		{"DELETE", api + "centers?labelSelector=none=such", asJSON, "", yes, no, no},
		{"GET", "/version", asJSON, "", yes, yes, yes},
		{"GET", "/apis", asJSON, "", yes, yes, yes},
		{"GET", "/openapi/v3", asJSON, "", yes, yes, yes},
		{"GET", "/readyz", asJSON, "", yes, yes, yes},
		{"GET", "/metrics", asJSON, "", yes, yes, no},
		{"POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", asJSON, whoami, yes, yes, yes},
		{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", asJSON, mayI, yes, yes, yes},
	} {
		for group, may := range map[string]bool{AdminGroup: c.admin, ViewerGroup: c.viewer, "others": c.other} {
			a := s.do(t, []string{group}, c.method, c.path, c.as, c.body)
			if did := a.code < 300; did != may || !may && (a.code != http.StatusForbidden ||
				!strings.Contains(a.body, AdminGroup)) {
				t.Errorf("%s %s by %s: %d %.300s, want allowed %v", c.method, c.path, group, a.code, a.body, may)
			}
		}
		if a := s.do(t, nil, c.method, c.path, c.as, c.body); a.code != http.StatusUnauthorized {
			t.Errorf("%s %s without a certificate: %d, want 401", c.method, c.path, a.code)
		}
	}
}

func TestReviewsSayWhoAndWhat(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	a := s.do(t, viewers(), "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", asJSON,
		`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)
	if !strings.Contains(a.body, `"username":"tester"`) || !strings.Contains(a.body, ViewerGroup) {
		t.Errorf("who am I: %s", a.body)
	}
	for verb, want := range map[string]bool{"list": true, "delete": false} {
		a := s.do(t, viewers(), "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", asJSON, fmt.Sprintf(
			`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":`+
				`{"verb":%q,"group":"pentad.dev","resource":"centers"}}}`, verb))
		if !strings.Contains(a.body, fmt.Sprintf(`"allowed":%v`, want)) {
			t.Errorf("may I %s: %s, want %v", verb, a.body, want)
		}
	}
}

func TestStrangersAreNotLetIn(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	stranger := newAuthority(t)
	config := stranger.client("tester", AdminGroup)
	config.RootCAs = s.users.client("x").RootCAs
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("https://" + s.address + api + "centers")
	if err != nil {
		return // refused in the handshake
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a certificate of another authority: %s, want 401", response.Status)
	}
}

func TestAuditNamesWhoDidWhat(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	c := s.client(AdminGroup)
	if _, err := c.Centers().Create(t.Context(), center("hz-a", "hangzhou"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.do(t, viewers(), "DELETE", api+"centers/hz-a", asJSON, "")
	s.do(t, admins(), "DELETE", api+"centers/hz-a", asJSON, "", "Impersonate-User", "somebody",
		"Impersonate-Group", ViewerGroup)
	s.do(t, viewers(), "GET", "/readyz", asJSON, "")
	s.stop()
	type event struct {
		Verb             string
		User             struct{ Username string }
		ImpersonatedUser struct{ Username string }
		ResponseStatus   struct{ Code int }
		RequestObject    json.RawMessage
		RequestURI       string
	}
	var seen []string
	for line := range strings.Lines(s.audit.String()) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		seen = append(seen, fmt.Sprintf("%s %s %s %d %v", e.Verb, e.User.Username, e.ImpersonatedUser.Username,
			e.ResponseStatus.Code, len(e.RequestObject) > 0))
	}
	want := []string{"create tester  201 true", "delete tester  403 false", "delete tester somebody 403 false"}
	if strings.Join(seen, "\n") != strings.Join(want, "\n") {
		t.Errorf("audit log %q, want %q", seen, want)
	}
}
