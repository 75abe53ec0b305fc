package registry

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// maxReason bounds the reason of an abort in bytes.
const maxReason = 1 << 10

// planHash is the field by which the state machine says that an approval is for another plan.
const planHash = "planHash"

// decisionREST is a subresource of switchovers to which a decision is posted, which becomes a typed command: legality
// is the state machine's alone. It answers with the switchover as it is then.
type decisionREST struct {
	main *mainREST
	// body makes what is posted.
	body func() runtime.Object
	// decide looks at what was posted, and makes the command for the switchover as this server knows it.
	decide func(ctx context.Context, body runtime.Object, s *v1alpha1.Switchover) (*intentpb.Command, error)
}

var (
	_ rest.NamedCreater    = (*decisionREST)(nil)
	_ rest.StorageMetadata = (*decisionREST)(nil)
)

// decisions are the subresources of switchovers by name.
func decisions(main *mainREST) map[string]rest.Storage {
	return map[string]rest.Storage{
		"approve": &decisionREST{
			main: main, body: func() runtime.Object { return &v1alpha1.SwitchoverApproval{} }, decide: main.approve,
		},
		"abort": &decisionREST{
			main: main, body: func() runtime.Object { return &v1alpha1.SwitchoverAbort{} }, decide: main.abort,
		},
	}
}

// New implements rest.Storage.
func (r *decisionREST) New() runtime.Object { return r.body() }

// Destroy implements rest.Storage; the main resource's destroys all.
func (r *decisionREST) Destroy() {}

// ProducesMIMETypes implements rest.StorageMetadata.
func (r *decisionREST) ProducesMIMETypes(string) []string { return nil }

// ProducesObject implements rest.StorageMetadata.
func (r *decisionREST) ProducesObject(string) any { return v1alpha1.Switchover{} }

// Create implements rest.NamedCreater.
func (r *decisionREST) Create(ctx context.Context, name string, body runtime.Object, validate rest.ValidateObjectFunc,
	options *metav1.CreateOptions) (runtime.Object, error) {
	obj, err := r.main.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	switchover := obj.(*v1alpha1.Switchover)
	command, err := r.decide(ctx, body, switchover)
	if err != nil {
		return nil, err
	}
	if validate != nil {
		if err := validate(ctx, body); err != nil {
			return nil, err
		}
	}
	if len(options.DryRun) > 0 {
		return switchover, nil
	}
	result, err := r.main.refs.intent.Command(ctx, name, command)
	if err != nil {
		return nil, err
	}
	if len(result.Refused) > 0 {
		return nil, r.refused(name, result)
	}
	return r.after(ctx, name, result)
}

// refused is 409 when what was approved is not what would happen, and 422 for everything else.
func (r *decisionREST) refused(name string, result intent.Result) error {
	invalid := r.main.invalid(name, result.Errors())
	for _, refused := range result.Refused {
		if refused.Field == planHash {
			return r.main.otherPlan(name, refused.Message, invalid.(*apierrors.StatusError).ErrStatus.Details.Causes)
		}
	}
	return invalid
}

// after is the switchover as the command has left it.
func (r *decisionREST) after(ctx context.Context, name string, result intent.Result) (runtime.Object, error) {
	if result.Current == nil {
		return r.main.Get(ctx, name, &metav1.GetOptions{})
	}
	return r.main.decode(result.Current)
}

func (r *mainREST) approve(ctx context.Context, body runtime.Object, s *v1alpha1.Switchover) (*intentpb.Command,
	error) {
	approval := body.(*v1alpha1.SwitchoverApproval)
	if r.planted.AnyPlan {
		approval.PlanHash = s.Status.PlanHash
	}
	path := field.NewPath(planHash)
	if approval.PlanHash == "" {
		return nil, r.invalid(s.Name, field.ErrorList{field.Required(path,
			"must be the status.planHash of the plan that you have seen")})
	}
	if approval.PlanHash != s.Status.PlanHash {
		message := fmt.Sprintf("must be %q, the hash of the plan: look at status.plan again", s.Status.PlanHash)
		return nil, r.otherPlan(s.Name, message, []metav1.StatusCause{{
			Type: metav1.CauseTypeFieldValueInvalid, Field: planHash,
			Message: field.Invalid(path, approval.PlanHash, message).ErrorBody(),
		}})
	}
	approver := ""
	if who, ok := request.UserFrom(ctx); ok {
		approver = who.GetName()
	}
	return &intentpb.Command{Operation: &intentpb.Command_Approve{Approve: &intentpb.Approve{
		Switchover: s.Name, Uid: string(s.UID), PlanHash: approval.PlanHash, Approver: approver,
	}}}, nil
}

func (r *mainREST) abort(ctx context.Context, body runtime.Object, s *v1alpha1.Switchover) (*intentpb.Command, error) {
	reason := body.(*v1alpha1.SwitchoverAbort).Reason
	if len(reason) > maxReason {
		return nil, r.invalid(s.Name, field.ErrorList{field.TooLong(field.NewPath("reason"), reason, maxReason)})
	}
	if who, ok := request.UserFrom(ctx); ok {
		reason = fmt.Sprintf("by %s: %s", who.GetName(), orUnset(reason))
	}
	return &intentpb.Command{Operation: &intentpb.Command_Abort{Abort: &intentpb.Abort{
		Switchover: s.Name, Uid: string(s.UID), Reason: reason,
	}}}, nil
}

// otherPlan is a conflict: the caller has to look at the plan again.
func (r *mainREST) otherPlan(name, message string, causes []metav1.StatusCause) error {
	err := apierrors.NewConflict(r.refs.intent.Resource.GroupResource(), name, fmt.Errorf("%s %s", planHash, message))
	err.ErrStatus.Details.Causes = causes
	return err
}
