package registry

import (
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"

	"pentad.dev/pentad/crds/v1alpha1"
)

func estates() kind {
	return kind{
		name: v1alpha1.KindEstate, plural: "estates", singular: "estate",
		newList: func() runtime.Object { return &v1alpha1.EstateList{} },
		columns: []metav1.TableColumnDefinition{
			column("Stopped", "Whether nothing more is withdrawn, however long clusters are silent."),
			column("Max", "How much may be withdrawn at once."),
			column("Held", "Whether clusters would be withdrawn now and are not."),
			wide("Message", "Which, and why not."),
		},
		cells: func(object v1alpha1.Object) []any {
			estate := object.(*v1alpha1.Estate)
			message := unset
			held := meta.FindStatusCondition(estate.Status.Conditions, v1alpha1.ConditionWithdrawalsHeld)
			if held != nil && held.Status == metav1.ConditionTrue {
				message = held.Message
			}
			return []any{
				strconv.FormatBool(estate.Spec.Withdrawals.Stopped), most(estate.Spec.Withdrawals),
				conditionOf(estate.Status.Conditions, v1alpha1.ConditionWithdrawalsHeld), message,
			}
		},
		fields: func(v1alpha1.Object) fields.Set { return fields.Set{} },
	}
}

// most is how much may be withdrawn at once, as 3,50%.
func most(w v1alpha1.Withdrawals) string {
	percent := strconv.Itoa(v1alpha1.DefaultMaxPercent)
	if w.MaxPercent != nil {
		percent = strconv.Itoa(int(*w.MaxPercent))
	}
	if w.MaxClusters != nil {
		return strconv.Itoa(int(*w.MaxClusters)) + "," + percent + "%"
	}
	return percent + "%"
}

// conditionOf is a condition's status; one that was never there is False.
func conditionOf(conditions []metav1.Condition, kind string) string {
	if c := meta.FindStatusCondition(conditions, kind); c != nil {
		return string(c.Status)
	}
	return string(metav1.ConditionFalse)
}

func keepFor(spec v1alpha1.ClusterSpec) string {
	keep, ok := spec.KeepFor()
	if !ok {
		return v1alpha1.KeepForNever
	}
	return keep.String()
}
