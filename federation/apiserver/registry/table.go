package registry

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metatable "k8s.io/apimachinery/pkg/api/meta/table"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"pentad.dev/pentad/crds/v1alpha1"
)

// table is what kubectl get shows of a kind.
type table struct{ kind kind }

// ConvertToTable implements rest.TableConvertor.
func (c table) ConvertToTable(_ context.Context, obj, options runtime.Object) (*metav1.Table, error) {
	t := &metav1.Table{}
	if list, err := meta.ListAccessor(obj); err == nil {
		t.ResourceVersion, t.Continue = list.GetResourceVersion(), list.GetContinue()
		t.RemainingItemCount = list.GetRemainingItemCount()
	} else if object, err := meta.CommonAccessor(obj); err == nil {
		t.ResourceVersion = object.GetResourceVersion()
	}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		t.ColumnDefinitions = c.headers()
	}
	var err error
	t.Rows, err = metatable.MetaToTableRow(obj, c.row)
	return t, err
}

func (c table) row(obj runtime.Object, _ metav1.Object, name, age string) ([]any, error) {
	object, ok := obj.(v1alpha1.Object)
	if !ok {
		return nil, fmt.Errorf("%T is not a %s", obj, c.kind.name)
	}
	cells := append([]any{name}, c.kind.cells(object)...)
	return append(cells, age), nil
}

func (c table) headers() []metav1.TableColumnDefinition {
	doc := metav1.ObjectMeta{}.SwaggerDoc()
	name := metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: doc["name"]}
	age := metav1.TableColumnDefinition{Name: "Age", Type: "string", Description: doc["creationTimestamp"]}
	headers := append([]metav1.TableColumnDefinition{name}, c.kind.columns...)
	return append(headers, age)
}
