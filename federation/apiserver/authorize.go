package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"pentad.dev/pentad/crds/v1alpha1"
)

// The groups that have rights: organizations (O) of client certificates.
const (
	// AdminGroup may do everything, also act as somebody else (the audit log names both).
	AdminGroup = "pentad:admins"
	// ViewerGroup may read everything.
	ViewerGroup = "pentad:viewers"
)

// authorize gives rights by group. Whoever has a certificate of the client authority may ask who they are, what they
// may, and what the API looks like. It is an authorizer.AuthorizerFunc.
func authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	groups := a.GetUser().GetGroups()
	switch {
	case slices.Contains(groups, AdminGroup), openToAll(a):
		return authorizer.DecisionAllow, "", nil
	case slices.Contains(groups, ViewerGroup) && reads(a):
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionDeny, fmt.Sprintf("reading needs group %s, everything else %s; groups are the O of "+
		"the client certificate, and %q has %q", ViewerGroup, AdminGroup, a.GetUser().GetName(), groups), nil
}

func reads(a authorizer.Attributes) bool {
	if a.IsResourceRequest() {
		return a.IsReadOnly() && a.GetAPIGroup() == v1alpha1.GroupName
	}
	return a.GetVerb() == "get" || a.GetVerb() == "head"
}

func openToAll(a authorizer.Attributes) bool {
	if a.IsResourceRequest() {
		return a.GetVerb() == "create" && slices.Contains(selfReviews(), a.GetResource()) &&
			slices.Contains(reviewAPIGroups(), a.GetAPIGroup())
	}
	if a.GetVerb() != "get" && a.GetVerb() != "head" {
		return false
	}
	for _, path := range openPaths() {
		prefix, isPrefix := strings.CutSuffix(path, "*")
		if a.GetPath() == path || isPrefix && strings.HasPrefix(a.GetPath(), prefix) {
			return true
		}
	}
	return false
}

func openPaths() []string {
	return []string{"/api", "/api/*", "/apis", "/apis/*", "/openapi/*", "/version", "/healthz", "/livez", "/readyz"}
}

// rights are what authorize gives to a user, as a list for kubectl auth can-i --list.
func rights(who user.Info) ([]authorizationv1.ResourceRule, []authorizationv1.NonResourceRule) {
	all := []string{"*"}
	groups := who.GetGroups()
	if slices.Contains(groups, AdminGroup) {
		return []authorizationv1.ResourceRule{{Verbs: all, APIGroups: all, Resources: all}},
			[]authorizationv1.NonResourceRule{{Verbs: all, NonResourceURLs: all}}
	}
	resources := []authorizationv1.ResourceRule{
		{Verbs: []string{"create"}, APIGroups: reviewAPIGroups(), Resources: selfReviews()},
	}
	paths := openPaths()
	if slices.Contains(groups, ViewerGroup) {
		verbs := []string{"get", "list", "watch"}
		resources = append(resources, authorizationv1.ResourceRule{
			Verbs: verbs, APIGroups: []string{v1alpha1.GroupName}, Resources: all,
		})
		paths = all
	}
	return resources, []authorizationv1.NonResourceRule{{Verbs: []string{"get", "head"}, NonResourceURLs: paths}}
}
