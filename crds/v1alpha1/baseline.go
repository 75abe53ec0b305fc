package v1alpha1

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// claim is a range of shards with who wants it.
type claim struct {
	ShardRange
	path *field.Path
	by   string
}

// validateBaseline demands that each shard has exactly one unit.
func validateBaseline(path *field.Path, spec *UnitizationSpec) field.ErrorList {
	var errs field.ErrorList
	var claims []claim
	for i, unit := range spec.Units {
		for j, r := range unit.Shards {
			path := path.Index(i).Child("shards").Index(j)
			bad := validateRange(path, r, spec.Shards)
			if errs = append(errs, bad...); len(bad) == 0 {
				claims = append(claims, claim{ShardRange: r, path: path, by: unit.Name})
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	if doubled := firstDoubled(claims); doubled != nil {
		return field.ErrorList{doubled}
	}
	next := int32(0)
	for _, c := range claims { // sorted by firstDoubled
		if c.From != next {
			break
		}
		next = c.To + 1
	}
	if next < spec.Shards {
		return field.ErrorList{field.Invalid(path, next, fmt.Sprintf(
			"shard %d has no unit: the units' shards must hold each of 0 to %d once", next, spec.Shards-1))}
	}
	return nil
}

// firstDoubled sorts claims, and finds the first shard that has two.
func firstDoubled(claims []claim) *field.Error {
	slices.SortStableFunc(claims, func(a, b claim) int { return cmp.Compare(a.From, b.From) })
	for i := 1; i < len(claims); i++ {
		if before, c := claims[i-1], claims[i]; c.From <= before.To {
			return duplicate(c.path, c.ShardRange,
				fmt.Sprintf("shard %d is unit %q's already (%s)", c.From, before.by, before.path))
		}
	}
	return nil
}

func validateRange(path *field.Path, r ShardRange, shards int32) field.ErrorList {
	var errs field.ErrorList
	for _, end := range []struct {
		name  string
		shard int32
	}{{"from", r.From}, {"to", r.To}} {
		if end.shard < 0 || end.shard >= shards {
			errs = append(errs, field.Invalid(path.Child(end.name), end.shard, fmt.Sprintf("must be 0 to %d", shards-1)))
		}
	}
	if len(errs) == 0 && r.From > r.To {
		errs = append(errs, field.Invalid(path, r, "from must be at most to: both are in the range"))
	}
	return errs
}

// pathForm is a gRPC path with a method, or with * for all of a service.
var pathForm = regexp.MustCompile(`^/[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*/([A-Za-z_][A-Za-z0-9_]*|\*)$`)

func validateServices(path *field.Path, spec *UnitizationSpec) field.ErrorList {
	if len(spec.Services) > MaxServices {
		return field.ErrorList{field.TooMany(path, len(spec.Services), MaxServices)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, service := range spec.Services {
		path := path.Index(i)
		bad := validateSubdomain(path.Child("name"), service.Name, "orders")
		if len(bad) == 0 && seen[service.Name] {
			bad = field.ErrorList{duplicate(path.Child("name"), service.Name, "a service is bound once")}
		}
		seen[service.Name] = true
		errs = append(errs, bad...)
		bad = validateEnum(path.Child("type"), service.Type, UnitSharded, UnitGlobal)
		if len(bad) == 0 && len(spec.Units) > 0 && (service.Type == UnitSharded) != (spec.Units[0].Type == UnitSharded) {
			bad = append(bad, field.Invalid(path.Child("type"), service.Type,
				fmt.Sprintf("must be as the units are, and unit %q is %s", spec.Units[0].Name, spec.Units[0].Type)))
		}
		errs = append(errs, bad...)
		errs = append(errs, validateReads(path.Child("reads"), service.Reads)...)
	}
	return errs
}

func validateReads(path *field.Path, reads []string) field.ErrorList {
	if len(reads) > MaxReads {
		return field.ErrorList{field.TooMany(path, len(reads), MaxReads)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, read := range reads {
		if !pathForm.MatchString(read) || len(read) > maxURL {
			errs = append(errs, field.Invalid(path.Index(i), read,
				"must be a gRPC path, /package.Service/Method, or /package.Service/* for all methods"))
		} else if seen[read] {
			errs = append(errs, duplicate(path.Index(i), read, "once is enough"))
		}
		seen[read] = true
	}
	return errs
}
