package model

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/federation/model/modelpb"
)

// MaxShards bounds the shards of an Ownership.
const MaxShards = 16384

// DecodeOwnership decodes and validates the Value of a record of KindOwnership.
func DecodeOwnership(key string, value []byte) (*modelpb.Ownership, error) {
	o := &modelpb.Ownership{}
	if err := unmarshal(KindOwnership, key, value, o); err != nil {
		return nil, err
	}
	if o.GetUnitization() != key {
		return nil, misplaced(KindOwnership, key, "unitization", o.GetUnitization())
	}
	if err := invalid(KindOwnership, key, ValidateOwnership(o)); err != nil {
		return nil, err
	}
	return o, nil
}

// DecodeStoreOrder decodes and validates the Value of a record of KindStoreOrder.
func DecodeStoreOrder(key string, value []byte) (*modelpb.StoreOrder, error) {
	o := &modelpb.StoreOrder{}
	if err := unmarshal(KindStoreOrder, key, value, o); err != nil {
		return nil, err
	}
	if o.GetStore() != key {
		return nil, misplaced(KindStoreOrder, key, "store", o.GetStore())
	}
	if err := invalid(KindStoreOrder, key, ValidateStoreOrder(o)); err != nil {
		return nil, err
	}
	return o, nil
}

// DecodeStoreReport decodes and validates the Value of a record of KindStoreReport.
func DecodeStoreReport(key string, value []byte) (*modelpb.StoreReport, error) {
	r := &modelpb.StoreReport{}
	if err := unmarshal(KindStoreReport, key, value, r); err != nil {
		return nil, err
	}
	if r.GetStore() != key {
		return nil, misplaced(KindStoreReport, key, "store", r.GetStore())
	}
	if err := invalid(KindStoreReport, key, ValidateStoreReport(r)); err != nil {
		return nil, err
	}
	return r, nil
}

// ValidateOwnership says all that is wrong with an Ownership. A range without cells is valid: nobody may write there.
func ValidateOwnership(o *modelpb.Ownership) field.ErrorList {
	errs := validateName(field.NewPath("unitization"), o.GetUnitization())
	shards := o.GetShards()
	if shards < 1 || shards > MaxShards {
		return append(errs, field.Invalid(field.NewPath("shards"), shards,
			fmt.Sprintf("must be between 1 and %d", MaxShards)))
	}
	path, next := field.NewPath("ranges"), uint32(0)
	for i, r := range o.GetRanges() {
		at := path.Index(i)
		switch {
		case r.GetFrom() != next:
			return append(errs, field.Invalid(at.Child("from"), r.GetFrom(),
				fmt.Sprintf("must be %d: ranges are sorted, and hold every shard once", next)))
		case r.GetTo() < r.GetFrom() || r.GetTo() >= shards:
			return append(errs, field.Invalid(at.Child("to"), r.GetTo(),
				fmt.Sprintf("must be between from, %d, and the last shard, %d", r.GetFrom(), shards-1)))
		}
		next = r.GetTo() + 1
		errs = append(errs, validateRange(at, r, o.GetEpoch())...)
	}
	if next != shards {
		errs = append(errs, field.Invalid(path, fmt.Sprintf("%d ranges up to shard %d", len(o.GetRanges()), int(next)-1),
			fmt.Sprintf("must hold every shard up to %d", shards-1)))
	}
	return append(errs, validateCells(field.NewPath("wanted"), o.GetWanted(), "")...)
}

func validateRange(path *field.Path, r *modelpb.OwnedRange, epoch uint64) field.ErrorList {
	errs := messages(path.Child("unit"), r.GetUnit(), validation.IsDNS1123Label(r.GetUnit()))
	errs = append(errs, validateCells(path.Child("cells"), r.GetCells(), r.GetUnit())...)
	switch r.GetState() {
	case modelpb.RangeState_RANGE_STATE_OPEN, modelpb.RangeState_RANGE_STATE_FROZEN:
	default:
		errs = append(errs, field.NotSupported(path.Child("state"), r.GetState().String(),
			[]string{"RANGE_STATE_OPEN", "RANGE_STATE_FROZEN"}))
	}
	if r.GetSince() < 1 || r.GetSince() > epoch {
		errs = append(errs, field.Invalid(path.Child("since"), r.GetSince(),
			fmt.Sprintf("must be between 1 and the map's epoch, %d", epoch)))
	}
	return errs
}

// validateCells holds cells to names <unit>.<center> in their order, of one unit unless that is empty.
func validateCells(path *field.Path, cells []string, unit string) field.ErrorList {
	var errs field.ErrorList
	for i, cell := range cells {
		of, center, _ := strings.Cut(cell, ".")
		switch {
		case len(validation.IsDNS1123Label(of)) > 0 || len(validation.IsDNS1123Label(center)) > 0:
			errs = append(errs, field.Invalid(path.Index(i), cell, "must be <unit>.<center>"))
		case unit != "" && of != unit:
			errs = append(errs, field.Invalid(path.Index(i), cell, fmt.Sprintf("must be a cell of unit %q", unit)))
		case i > 0 && cells[i-1] == cell:
			errs = append(errs, field.Duplicate(path.Index(i), cell))
		}
	}
	if !slices.IsSorted(cells) {
		errs = append(errs, field.Invalid(path, cells, "must be sorted"))
	}
	return errs
}

// ValidateStoreOrder says all that is wrong with a StoreOrder.
func ValidateStoreOrder(o *modelpb.StoreOrder) field.ErrorList {
	errs := validateName(field.NewPath("store"), o.GetStore())
	action := o.GetAction()
	if !known(action) || action == modelpb.StoreAction_STORE_ACTION_UNSPECIFIED {
		errs = append(errs, field.NotSupported(field.NewPath("action"), action.String(), actions))
	}
	if o.GetMember() != "" || action != modelpb.StoreAction_STORE_ACTION_FENCE {
		errs = append(errs, validateMember(field.NewPath("member"), o.GetMember())...)
	}
	if o.GetToken() == 0 {
		errs = append(errs, field.Required(field.NewPath("token"), "an order has the token of the step that it is part of"))
	}
	if o.GetSwitchover() == "" {
		errs = append(errs, field.Required(field.NewPath("switchover"), "an order is a switchover's"))
	}
	if o.GetSwitchoverUid() == "" {
		errs = append(errs, field.Required(field.NewPath("switchover_uid"), "an order is a switchover's"))
	}
	if o.GetStep() == 0 {
		errs = append(errs, field.Invalid(field.NewPath("step"), 0, "must be at least 1"))
	}
	if o.GetPrimary() != "" {
		errs = append(errs, validateMember(field.NewPath("primary"), o.GetPrimary())...)
	}
	return errs
}

// ValidateStoreReport says all that is wrong with a StoreReport. One that obeyed no order yet has no action.
func ValidateStoreReport(r *modelpb.StoreReport) field.ErrorList {
	errs := validateName(field.NewPath("store"), r.GetStore())
	errs = append(errs, validateMember(field.NewPath("member"), r.GetMember())...)
	switch action := r.GetAction(); {
	case !known(action):
		errs = append(errs, field.NotSupported(field.NewPath("action"), action.String(), actions))
	case action == modelpb.StoreAction_STORE_ACTION_UNSPECIFIED:
		if r.GetSwitchoverUid() != "" {
			errs = append(errs, field.Invalid(field.NewPath("switchover_uid"), r.GetSwitchoverUid(),
				"must be empty without an action"))
		}
		if r.GetStep() != 0 {
			errs = append(errs, field.Invalid(field.NewPath("step"), r.GetStep(), "must be 0 without an action"))
		}
	default:
		if r.GetSwitchoverUid() == "" {
			errs = append(errs, field.Required(field.NewPath("switchover_uid"), "the action was ordered by a switchover"))
		}
		if r.GetStep() == 0 {
			errs = append(errs, field.Invalid(field.NewPath("step"), 0, "must be at least 1"))
		}
	}
	return errs
}

var actions = []string{"STORE_ACTION_FENCE", "STORE_ACTION_CATCH_UP", "STORE_ACTION_PROMOTE", "STORE_ACTION_OPEN",
	"STORE_ACTION_UNFENCE"}

func known(action modelpb.StoreAction) bool {
	_, ok := modelpb.StoreAction_name[int32(action)]
	return ok
}

func validateName(path *field.Path, name string) field.ErrorList {
	return messages(path, name, validation.IsDNS1123Subdomain(name))
}

// validateMember holds a member to the name of its center.
func validateMember(path *field.Path, member string) field.ErrorList {
	return messages(path, member, validation.IsDNS1123Label(member))
}
