package apiserver

import (
	"io"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	auditlog "k8s.io/apiserver/plugin/pkg/audit/log"
)

// auditing writes who asked for what: changes with their body (no kind holds a secret), reads without, and nothing of
// what tools ask for on their own.
func auditing(out io.Writer) (audit.Backend, audit.PolicyRuleEvaluator) {
	rules := policy.NewPolicyRuleEvaluator(&auditinternal.Policy{
		OmitStages: []auditinternal.Stage{auditinternal.StageRequestReceived},
		Rules: []auditinternal.PolicyRule{
			{Level: auditinternal.LevelNone, NonResourceURLs: append(openPaths(), "/healthz/*", "/livez/*", "/readyz/*")},
			{
				Level: auditinternal.LevelNone,
				Resources: []auditinternal.GroupResources{
					{Group: "authentication.k8s.io"}, {Group: "authorization.k8s.io"},
				},
			},
			{
				Level: auditinternal.LevelRequest,
				Verbs: []string{"create", "update", "patch", "delete", "deletecollection"},
			},
			{Level: auditinternal.LevelMetadata},
		},
	})
	return auditlog.NewBackend(out, auditlog.FormatJson, auditv1.SchemeGroupVersion), rules
}
