package apiserver

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
)

func TestObjectsLive(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	c := s.client(AdminGroup)
	ctx := t.Context()

	made, err := c.Centers().Create(ctx, center("hz-a", "hangzhou"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.UID == "" || made.Generation != 1 || made.ResourceVersion == "" || made.Status.ObservedGeneration != 1 {
		t.Errorf("created %+v: want uid, generation 1, a resourceVersion and its status", made)
	}
	_, err = c.Centers().Create(ctx, center("hz-a", "hangzhou"), metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		t.Errorf("created again: %v, want already exists", err)
	}
	vm, err := c.Clusters().Create(ctx, cluster("hz-a-vm", "hz-a"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if vm.Status.Region != "hangzhou" || vm.Spec.Type != v1alpha1.ClusterVM {
		t.Errorf("cluster %+v: want its center's region and the default type", vm)
	}

	made.Labels = map[string]string{"a": "b"}
	labelled, err := c.Centers().Update(ctx, made, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if labelled.Generation != 1 {
		t.Errorf("labelled: generation %d, want 1: the spec is the same", labelled.Generation)
	}
	if _, err := c.Centers().Update(ctx, made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("updated from an old object: %v, want a conflict", err)
	}
	list, err := c.Centers().List(ctx, metav1.ListOptions{FieldSelector: "spec.region=hangzhou"})
	if err != nil || len(list.Items) != 1 || list.Items[0].Labels["a"] != "b" {
		t.Errorf("list %+v, %v: want the labelled center", list, err)
	}
	if err := c.Clusters().Delete(ctx, "hz-a-vm", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Centers().Delete(ctx, "hz-a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Centers().Get(ctx, "hz-a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("deleted: %v, want not found", err)
	}
}
