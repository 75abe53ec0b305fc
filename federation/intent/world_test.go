package intent

import (
	"reflect"
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/switchover"
)

func TestPreviewSaysWhatTheMachineWould(t *testing.T) {
	e := withUnits(t, Config{})
	if errs := Preview(e.View(), evacuation("out", "hangzhou")); len(errs) > 0 {
		t.Errorf("a switchover that is right: %v", errs)
	}
	e.add(evacuation("out", "hangzhou"))
	e.drive("out", switchover.PhaseFrozen)
	for _, o := range []*v1alpha1.Switchover{moveUsers("sh-a"), evacuation("x", "beijing"), disaster("y", "hangzhou")} {
		errs := Preview(e.View(), o)
		r := e.do(creating(o, func(v1alpha1.Object) {})(e))
		if len(errs) == 0 || len(errs) != len(r.Refused) || errs[0].Field != r.Refused[0].Field ||
			errs[0].Detail != r.Refused[0].Message {
			t.Errorf("%s: preview says %v, the machine %v", o.Name, errs, r.Errors())
		}
	}
}

func TestAWorldIsMadeOncePerDeclaration(t *testing.T) {
	e := withUnits(t, Config{})
	same := func(a, b switchover.World) bool {
		return reflect.ValueOf(a.Unitizations).Pointer() == reflect.ValueOf(b.Unitizations).Pointer()
	}
	first := World(e.View())
	e.add(evacuation("out", "hangzhou"))
	e.drive("out", switchover.PhaseDone)
	e.relay("sz-a")
	if !same(first, World(e.View())) {
		t.Error("status, sessions and switchovers made another world")
	}
	e.must(e.edit(v1alpha1.KindCenter, "sh-a", func(o v1alpha1.Object) {
		o.(*v1alpha1.Center).Spec.Phase = v1alpha1.CenterClosed
	}))
	w := World(e.View())
	if same(first, w) || w.Centers["sh-a"].Open || !w.Centers["sh-b"].Open || w.Centers["bj-v"].Full {
		t.Errorf("after a center closed the world has centers %+v", w.Centers)
	}
	if w := World(View{}); w.Centers != nil {
		t.Errorf("the zero view has world %+v", w)
	}
}
