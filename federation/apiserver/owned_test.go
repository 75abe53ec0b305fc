package apiserver

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/federation/apiserver/registry"
)

// ownedCases are requests that bring a field which only Pentad sets. The center hz-a exists, hz-b does not.
var ownedCases = []struct {
	name, method, path, as, metadata string
	field, value                     string
}{
	{"post uid", "POST", "centers", asJSON, `"name":"hz-b","uid":"abc"`, "metadata.uid", `"abc"`},
	{"post uid as yaml", "POST", "centers", asYAML, `"name":"hz-b","uid":"abc"`, "metadata.uid", `"abc"`},
	{"post generation", "POST", "centers", asJSON, `"name":"hz-b","generation":7`, "metadata.generation", "7"},
	{
		"post version", "POST", "centers", asJSON, `"name":"hz-b","resourceVersion":"12"`,
		"metadata.resourceVersion", `"12"`,
	},
	{"post dry run", "POST", "centers?dryRun=All", asJSON, `"name":"hz-b","uid":"abc"`, "metadata.uid", `"abc"`},
	{"apply uid", "PATCH", "centers/hz-b?fieldManager=m", asApply, `"name":"hz-b","uid":"abc"`, "metadata.uid", `"abc"`},
	{
		"apply generation", "PATCH", "centers/hz-b?fieldManager=m", asApply, `"name":"hz-b","generation":7`,
		"metadata.generation", "7",
	},
	{
		"apply version", "PATCH", "centers/hz-b?fieldManager=m", asApply, `"name":"hz-b","resourceVersion":"12"`,
		"metadata.resourceVersion", `"12"`,
	},
	{"put generation", "PUT", "centers/hz-a", asJSON, `"name":"hz-a","generation":7`, "metadata.generation", "7"},
	{"patch generation", "PATCH", "centers/hz-a", asMerge, `"generation":7`, "metadata.generation", "7"},
	{"patch uid", "PATCH", "centers/hz-a", asMerge, `"uid":"abc"`, "metadata.uid", `"abc"`},
	{
		"apply generation to what exists", "PATCH", "centers/hz-a?fieldManager=m&force=true", asApply,
		`"name":"hz-a","generation":7`, "metadata.generation", "7",
	},
}

// accepted are the cases that the server did not refuse with field and value.
func accepted(t *testing.T, s *served) []string {
	t.Helper()
	mustCreate(t, s, "hz-a")
	var wrong []string
	for _, c := range ownedCases {
		a := s.do(t, admins(), c.method, api+c.path, c.as, centerJSON(c.metadata))
		if !a.says(http.StatusUnprocessableEntity, c.field, c.value) {
			wrong = append(wrong, fmt.Sprintf("%s: %d %s", c.name, a.code, a.body))
		}
	}
	return wrong
}

func TestOwnedFieldsAreRefused(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	if wrong := accepted(t, s); len(wrong) > 0 {
		t.Errorf("not refused with field and value:\n%s", strings.Join(wrong, "\n"))
	}
	body := centerJSON(`"name":"hz-a","uid":"abc"`)
	if a := s.do(t, admins(), "PUT", api+"centers/hz-a", asJSON, body); a.code != http.StatusConflict ||
		!strings.Contains(a.body, "UID in precondition: abc") {
		t.Errorf("put of another uid: %d %s, want a conflict that names it", a.code, a.body)
	}
	list, err := s.client(AdminGroup).Centers().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Generation != 1 {
		t.Errorf("after refusals %+v, %v: want hz-a as it was", list, err)
	}
	planted := serve(t, newAuthority(t), newEstate(t, 1).members[0], plant(registry.Planted{OwnedFields: true}))
	if wrong := accepted(t, planted); len(wrong) == 0 {
		t.Error("a server that takes owned fields is not found")
	}
}

// writableStatus are writes of status that the server did not refuse.
func writableStatus(t *testing.T, s *served) []string {
	t.Helper()
	made := mustCreate(t, s, "hz-a")
	status := `"status":{"observedGeneration":9},`
	whole := strings.Replace(centerJSON(fmt.Sprintf(`"name":"hz-a","resourceVersion":%q`, made.ResourceVersion)),
		`"spec"`, status+`"spec"`, 1)
	apply := strings.Replace(centerJSON(`"name":"hz-a"`), `"spec"`, status+`"spec"`, 1)
	var wrong []string
	for _, r := range [][4]string{
		{"PUT", "", asJSON, whole},
		{"PATCH", "", asMerge, `{"status":{"observedGeneration":9}}`},
		{"PATCH", "?fieldManager=m&force=true", asApply, apply},
	} {
		a := s.do(t, admins(), r[0], api+"centers/hz-a/status"+r[1], r[2], r[3])
		if !a.says(http.StatusUnprocessableEntity, "status", "status is written by Pentad alone") {
			wrong = append(wrong, fmt.Sprintf("%s %s: %d %s", r[0], r[2], a.code, a.body))
		}
	}
	return wrong
}

func TestStatusIsReadOnly(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	if wrong := writableStatus(t, s); len(wrong) > 0 {
		t.Errorf("not refused: %s", strings.Join(wrong, "\n"))
	}
	if a := s.do(t, viewers(), "GET", api+"centers/hz-a/status", asJSON, ""); a.code != http.StatusOK {
		t.Errorf("get status: %d %s", a.code, a.body)
	}
	planted := serve(t, newAuthority(t), newEstate(t, 1).members[0], plant(registry.Planted{StatusWritable: true}))
	if wrong := writableStatus(t, planted); len(wrong) == 0 {
		t.Error("a server whose status can be written is not found")
	}
}

func TestStatusOnTheMainResourceIsIgnored(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	c := s.client(AdminGroup).Centers()
	wrong := center("hz-a", "hangzhou")
	wrong.Status.ObservedGeneration = 9
	made, err := c.Create(t.Context(), wrong, metav1.CreateOptions{})
	if err != nil || made.Status.ObservedGeneration != 1 {
		t.Fatalf("created %+v, %v: want observedGeneration 1", made, err)
	}
	made.Status.ObservedGeneration = 9
	updated, err := c.Update(t.Context(), made, metav1.UpdateOptions{})
	if err != nil || updated.Status.ObservedGeneration != 1 || updated.ResourceVersion != made.ResourceVersion {
		t.Errorf("updated %+v, %v: want nothing written", updated, err)
	}
}

func TestUnknownFieldsAreRefusedWhenStrict(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	body := strings.Replace(centerJSON(`"name":"hz-b"`), `"region"`, `"roel":"Full","region"`, 1)
	a := s.do(t, admins(), "POST", api+"centers?fieldValidation=Strict", asJSON, body)
	if a.code != http.StatusBadRequest || !strings.Contains(a.body, `unknown field \"spec.roel\"`) {
		t.Errorf("strict: %d %s, want a refusal that names spec.roel", a.code, a.body)
	}
}
