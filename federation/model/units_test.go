package model

import (
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/model/modelpb"
)

func ownership() *modelpb.Ownership {
	return &modelpb.Ownership{Unitization: "users", Shards: 100, Epoch: 9, Wanted: []string{"rz01.sh-a", "rz02.sh-a"},
		Ranges: []*modelpb.OwnedRange{
			{From: 0, To: 24, Unit: "rz01", Cells: []string{"rz01.hz-a", "rz01.hz-b"}, Since: 9,
				State: modelpb.RangeState_RANGE_STATE_FROZEN},
			{From: 25, To: 99, Unit: "rz02", Cells: []string{"rz02.hz-a"}, Since: 1,
				State: modelpb.RangeState_RANGE_STATE_OPEN},
		}}
}

func storeOrder() *modelpb.StoreOrder {
	return &modelpb.StoreOrder{Store: "orders", Action: modelpb.StoreAction_STORE_ACTION_CATCH_UP, Member: "sh-a",
		Token: 9, Switchover: "drill", SwitchoverUid: "u", Step: 2, Position: &modelpb.StorePosition{Epoch: 1, Index: 7}}
}

func storeReport() *modelpb.StoreReport {
	return &modelpb.StoreReport{Store: "orders", Member: "sh-a", Action: modelpb.StoreAction_STORE_ACTION_FENCE,
		SwitchoverUid: "u", Step: 1, Token: 9}
}

func TestUnitRecordsRoundTrip(t *testing.T) {
	o, err := DecodeOwnership("users", must(t, ownership()))
	if err != nil || !proto.Equal(o, ownership()) {
		t.Errorf("decoded %v, %v", o, err)
	}
	s, err := DecodeStoreOrder("orders", must(t, storeOrder()))
	if err != nil || !proto.Equal(s, storeOrder()) {
		t.Errorf("decoded %v, %v", s, err)
	}
	r, err := DecodeStoreReport("orders", must(t, storeReport()))
	if err != nil || !proto.Equal(r, storeReport()) {
		t.Errorf("decoded %v, %v", r, err)
	}
	if err := Check(KindStoreReport, "orders", must(t, storeReport())); err != nil {
		t.Error(err)
	}
	_, ownershipErr := DecodeOwnership("other", must(t, ownership()))
	_, orderErr := DecodeStoreOrder("other", must(t, storeOrder()))
	for _, err := range []error{ownershipErr, orderErr, Check(KindStoreReport, "other", must(t, storeReport()))} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("under another key: %v, want ErrInvalid", err)
		}
	}
}

func TestNoClusterWritesOwnership(t *testing.T) {
	if err := Check(KindOwnership, "users", must(t, ownership())); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("Ownership: %v, want ErrUnknownKind", err)
	}
	if err := Check(KindStoreOrder, "orders", must(t, storeOrder())); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("StoreOrder: %v, want ErrUnknownKind", err)
	}
}

func TestEachRuleOfAnOwnershipNamesFieldAndValue(t *testing.T) {
	type record = modelpb.Ownership
	for want, breakIt := range map[string]func(*record){
		`unitization: Invalid value: "Users"`:                    func(o *record) { o.Unitization = "Users" },
		`shards: Invalid value: 0: must be between 1 and 16384`:  func(o *record) { o.Shards = 0 },
		`shards: Invalid value: 16385`:                           func(o *record) { o.Shards = 16385 },
		`ranges[1].from: Invalid value: 24: must be 25`:          func(o *record) { o.Ranges[1].From = 24 },
		`ranges[1].from: Invalid value: 26: must be 25`:          func(o *record) { o.Ranges[1].From = 26 },
		`ranges[1].to: Invalid value: 100`:                       func(o *record) { o.Ranges[1].To = 100 },
		`ranges[1].to: Invalid value: 4`:                         func(o *record) { o.Ranges[1].To = 4 },
		`up to shard 98": must hold every shard up to 99`:        func(o *record) { o.Ranges[1].To = 98 },
		`"0 ranges up to shard -1": must hold every shard`:       func(o *record) { o.Ranges = nil },
		`ranges[1].unit: Invalid value: ""`:                      func(o *record) { r := o.Ranges[1]; r.Unit, r.Cells = "", nil },
		`ranges[0].cells[1]: Invalid value: "rz02.hz-b": must`:   func(o *record) { o.Ranges[0].Cells[1] = "rz02.hz-b" },
		`ranges[0].cells[1]: Invalid value: "sh-a"`:              func(o *record) { o.Ranges[0].Cells[1] = "sh-a" },
		`ranges[0].cells[1]: Duplicate value: "rz01.hz-a"`:       func(o *record) { o.Ranges[0].Cells[1] = "rz01.hz-a" },
		`ranges[0].cells: Invalid value: ["rz01.hz-b","rz01.hz`:  func(o *record) { slices.Reverse(o.Ranges[0].Cells) },
		`ranges[0].state: Unsupported value: "RANGE_STATE_UNSP`:  func(o *record) { o.Ranges[0].State = 0 },
		`ranges[0].since: Invalid value: 10: must be between 1 `: func(o *record) { o.Ranges[0].Since = 10 },
		`ranges[1].since: Invalid value: 0`:                      func(o *record) { o.Ranges[1].Since = 0 },
		`wanted[0]: Invalid value: "hz-a": must be <unit>.<`:     func(o *record) { o.Wanted[0] = "hz-a" },
	} {
		o := ownership()
		breakIt(o)
		one(t, want, ValidateOwnership(o).ToAggregate())
	}
}

func TestEachRuleOfOrdersAndReportsNamesFieldAndValue(t *testing.T) {
	for want, breakIt := range map[string]func(*modelpb.StoreOrder){
		`store: Invalid value: ""`:                func(o *modelpb.StoreOrder) { o.Store = "" },
		`action: Unsupported value: "STORE_ACTIO`: func(o *modelpb.StoreOrder) { o.Action = 0 },
		`action: Unsupported value: "9"`:          func(o *modelpb.StoreOrder) { o.Action = 9 },
		`member: Invalid value: ""`:               func(o *modelpb.StoreOrder) { o.Member = "" },
		`token: Required value`:                   func(o *modelpb.StoreOrder) { o.Token = 0 },
		`switchover: Required value`:              func(o *modelpb.StoreOrder) { o.Switchover = "" },
		`switchover_uid: Required value`:          func(o *modelpb.StoreOrder) { o.SwitchoverUid = "" },
		`step: Invalid value: 0`:                  func(o *modelpb.StoreOrder) { o.Step = 0 },
		`primary: Invalid value: "sh.a"`:          func(o *modelpb.StoreOrder) { o.Primary = "sh.a" },
	} {
		o := storeOrder()
		breakIt(o)
		one(t, want, ValidateStoreOrder(o).ToAggregate())
	}
	everyone := storeOrder()
	everyone.Action, everyone.Member = modelpb.StoreAction_STORE_ACTION_FENCE, ""
	if errs := ValidateStoreOrder(everyone); len(errs) > 0 {
		t.Errorf("a fence of every member: %v", errs)
	}
	for want, breakIt := range map[string]func(*modelpb.StoreReport){
		`store: Invalid value: "A"`:          func(r *modelpb.StoreReport) { r.Store = "A" },
		`member: Invalid value: ""`:          func(r *modelpb.StoreReport) { r.Member = "" },
		`action: Unsupported value: "9"`:     func(r *modelpb.StoreReport) { r.Action = 9 },
		`switchover_uid: Required value`:     func(r *modelpb.StoreReport) { r.SwitchoverUid = "" },
		`step: Invalid value: 0`:             func(r *modelpb.StoreReport) { r.Step = 0 },
		`switchover_uid: Invalid value: "u"`: func(r *modelpb.StoreReport) { r.Action, r.Step = 0, 0 },
		`step: Invalid value: 1`:             func(r *modelpb.StoreReport) { r.Action, r.SwitchoverUid = 0, "" },
	} {
		r := storeReport()
		breakIt(r)
		one(t, want, ValidateStoreReport(r).ToAggregate())
	}
}

func TestASlicesUnitIsALabel(t *testing.T) {
	s := endpoints()
	s.Unit = "rz01"
	if errs := ValidateEndpointSlice(s); len(errs) > 0 {
		t.Error(errs)
	}
	s.Unit = "rz01.hz-a"
	one(t, `unit: Invalid value: "rz01.hz-a"`, ValidateEndpointSlice(s).ToAggregate())
}
