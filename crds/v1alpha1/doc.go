// Package v1alpha1 is the API group pentad.dev/v1alpha1: the kinds that operators declare, their defaults and their
// validation. The API server and the replicated state machine share both, so that what one refuses the other refuses
// too.
//
// A kind lands here together with its behaviour, a field together with what reads it.
//
// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.pentad.v1alpha1
// +groupName=pentad.dev
package v1alpha1
