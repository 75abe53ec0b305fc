package model

import (
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/federation/model/modelpb"
)

// DecodeLiveness decodes and validates the Value of a record of KindLiveness.
func DecodeLiveness(key string, value []byte) (*modelpb.Liveness, error) {
	l := &modelpb.Liveness{}
	if err := unmarshal(KindLiveness, key, value, l); err != nil {
		return nil, err
	}
	if l.GetCluster() != key {
		return nil, misplaced(KindLiveness, key, "cluster", l.GetCluster())
	}
	if err := invalid(KindLiveness, key, ValidateLiveness(l)); err != nil {
		return nil, err
	}
	return l, nil
}

// ValidateLiveness says all that is wrong with a Liveness.
func ValidateLiveness(l *modelpb.Liveness) field.ErrorList {
	errs := messages(field.NewPath("cluster"), l.GetCluster(), validation.IsDNS1123Label(l.GetCluster()))
	if l.GetState() != modelpb.LivenessState_LIVENESS_STATE_EXPIRED {
		errs = append(errs, field.NotSupported(field.NewPath("state"), l.GetState().String(),
			[]string{modelpb.LivenessState_LIVENESS_STATE_EXPIRED.String()}))
	}
	return errs
}
