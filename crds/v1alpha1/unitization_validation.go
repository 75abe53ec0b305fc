package v1alpha1

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// MaxShards bounds spec.shards of a Unitization.
	MaxShards = 16384
	// MaxSkipDigits bounds spec.key.skipDigits.
	MaxSkipDigits = 18
	// MaxOverrides, MaxUnits, MaxServices bound the lists of a Unitization, MaxCells those of its units, MaxReads those of
	// its services.
	MaxOverrides = 4096
	MaxUnits     = 1024
	MaxServices  = 1024
	MaxCells     = 64
	MaxReads     = 256
	// MinPermit and MaxPermit bound spec.permit.duration.
	MinPermit = time.Second
	MaxPermit = time.Minute
	// maxKey bounds a header's name and an override's key in bytes.
	maxKey = 256
)

// ValidateUnitization validates a Unitization. Its name is a DNS-1123 label.
func ValidateUnitization(unitization *Unitization) field.ErrorList {
	errs := validateMeta(unitization, apivalidation.NameIsDNSLabel)
	path, spec := field.NewPath("spec"), &unitization.Spec
	if spec.Shards < 1 || spec.Shards > MaxShards {
		// Every other number would be measured by this one.
		return append(errs, field.Invalid(path.Child("shards"), spec.Shards, fmt.Sprintf("must be 1 to %d", MaxShards)))
	}
	errs = append(errs, validateKey(path, spec)...)
	errs = append(errs, validateOverrides(path.Child("overrides"), spec)...)
	errs = append(errs, validateUnits(path.Child("units"), spec)...)
	errs = append(errs, validateServices(path.Child("services"), spec)...)
	errs = append(errs, validateEnum(path.Child("isolation"), spec.Isolation, IsolationStop, IsolationKeep)...)
	return append(errs, validatePermit(path.Child("permit", "duration"), spec.Permit)...)
}

func validatePermit(path *field.Path, permit PermitTerms) field.ErrorList {
	if permit.Duration == nil {
		return field.ErrorList{field.Required(path, fmt.Sprintf("must be %s to %s, as in 5s", MinPermit, MaxPermit))}
	}
	if permit.Duration.Duration < MinPermit || permit.Duration.Duration > MaxPermit {
		return field.ErrorList{field.Invalid(path, permit.Duration.Duration.String(),
			fmt.Sprintf("must be %s to %s", MinPermit, MaxPermit))}
	}
	return nil
}

func validateKey(path *field.Path, spec *UnitizationSpec) field.ErrorList {
	key := spec.Key
	path = path.Child("key")
	switch {
	case key == nil && spec.Shards > 1:
		return field.ErrorList{field.Required(path, "must say which of the shards a request is for")}
	case key == nil:
		return nil
	case spec.Shards == 1:
		return field.ErrorList{field.Forbidden(path, "must not be set: there is one shard, and every request is for it")}
	}
	errs := validateHeader(path.Child("header"), key.Header)
	errs = append(errs, validateEnum(path.Child("function"), key.Function, KeyLastDigits, KeyModulo)...)
	switch {
	case key.Function == KeyLastDigits && !powerOfTen(spec.Shards):
		errs = append(errs, field.Invalid(path.Child("function"), key.Function, fmt.Sprintf(
			"needs spec.shards to be a power of ten, and it is %d: take Modulo", spec.Shards)))
	case key.Function == KeyModulo && key.SkipDigits != 0:
		errs = append(errs, field.Invalid(path.Child("skipDigits"), key.SkipDigits, "must not be set: it is for LastDigits"))
	}
	if key.SkipDigits < 0 || key.SkipDigits > MaxSkipDigits {
		errs = append(errs, field.Invalid(path.Child("skipDigits"), key.SkipDigits,
			fmt.Sprintf("must be 0 to %d", MaxSkipDigits)))
	}
	return errs
}

// headerForm is what gRPC takes as the key of metadata, in lower case as HTTP/2 has it.
var headerForm = regexp.MustCompile(`^[0-9a-z_-][0-9a-z_.-]*$`)

func validateHeader(path *field.Path, header string) field.ErrorList {
	const want = `must be the name of a header in lower case, as in "x-user-id"`
	switch {
	case header == "":
		return field.ErrorList{field.Required(path, want)}
	case len(header) > maxKey:
		return field.ErrorList{field.TooLong(path, header, maxKey)}
	case !headerForm.MatchString(header):
		return field.ErrorList{field.Invalid(path, header, want)}
	case strings.HasPrefix(header, "x-pentad-"), strings.HasPrefix(header, "grpc-"):
		return field.ErrorList{field.Invalid(path, header,
			"must not begin with x-pentad- or grpc-: those have a meaning already")}
	case strings.HasSuffix(header, "-bin"):
		return field.ErrorList{field.Invalid(path, header,
			"must not end with -bin: keys are text, and gRPC encodes such headers")}
	}
	return nil
}

func powerOfTen(n int32) bool {
	for n > 1 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

func validateOverrides(path *field.Path, spec *UnitizationSpec) field.ErrorList {
	overrides := spec.Overrides
	if len(overrides) > MaxOverrides {
		return field.ErrorList{field.TooMany(path, len(overrides), MaxOverrides)}
	}
	if len(overrides) > 0 && spec.Key == nil {
		return field.ErrorList{field.Forbidden(path, "must not be set without spec.key: there are no keys")}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, override := range overrides {
		path := path.Index(i)
		switch {
		case override.Key == "":
			errs = append(errs, field.Required(path.Child("key"), "must be the key as it is sent"))
		case len(override.Key) > maxKey:
			errs = append(errs, field.TooLong(path.Child("key"), override.Key, maxKey))
		case seen[override.Key]:
			errs = append(errs, duplicate(path.Child("key"), override.Key, "a key has one shard"))
		}
		seen[override.Key] = true
		if override.Shard < 0 || override.Shard >= spec.Shards {
			errs = append(errs, field.Invalid(path.Child("shard"), override.Shard,
				fmt.Sprintf("must be 0 to %d", spec.Shards-1)))
		}
	}
	return errs
}

// Owns says that units of the type own shards.
func (t UnitType) Owns() bool { return t == UnitSharded || t == UnitGlobal }

func validateUnits(path *field.Path, spec *UnitizationSpec) field.ErrorList {
	if len(spec.Units) == 0 {
		return field.ErrorList{field.Required(path, "must have the units that own the shards")}
	}
	if len(spec.Units) > MaxUnits {
		return field.ErrorList{field.TooMany(path, len(spec.Units), MaxUnits)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range spec.Units {
		unit, path := &spec.Units[i], path.Index(i)
		bad := validateLabel(path.Child("name"), unit.Name, "rz01")
		if len(bad) == 0 && seen[unit.Name] {
			bad = field.ErrorList{duplicate(path.Child("name"), unit.Name, "unit names are unique in the estate")}
		}
		seen[unit.Name] = true
		errs = append(errs, bad...)
		errs = append(errs, validateEnum(path.Child("type"), unit.Type, UnitSharded, UnitGlobal, UnitCity)...)
		errs = append(errs, validateUnit(path, spec, unit)...)
	}
	mixed := validateTypes(path, spec)
	errs = append(errs, mixed...)
	if len(mixed) == 0 && spec.Units[0].Type == UnitSharded {
		errs = append(errs, validateBaseline(path, spec)...)
	}
	return errs
}

// validateUnit looks at one unit, whose name and type were looked at.
func validateUnit(path *field.Path, spec *UnitizationSpec, unit *Unit) field.ErrorList {
	var errs field.ErrorList
	if len(unit.Shards) > 0 && unit.Type != UnitSharded {
		errs = append(errs, field.Forbidden(path.Child("shards"), fmt.Sprintf(
			"must not be set: a %s unit %s", unit.Type, map[bool]string{
				true: "owns the only shard", false: "owns nothing"}[unit.Type.Owns()])))
	}
	errs = append(errs, validateCells(path.Child("cells"), unit)...)
	store := path.Child("store")
	if unit.Store != "" {
		errs = append(errs, validateLabel(store, unit.Store, "orders-rz01")...)
	}
	switch {
	case unit.Type == UnitCity && unit.Store != "":
		errs = append(errs, field.Forbidden(store, "must not be set: a City unit owns nothing"))
	case !unit.Type.Owns() || unit.Store != "":
	case spec.Isolation == IsolationKeep:
		errs = append(errs, field.Required(store,
			"must be a Store: with isolation Keep only its fence keeps a second writer out"))
	case !spec.Guard:
		errs = append(errs, field.Required(store,
			"must be a Store with holdsPermit, or spec.guard must be true: nothing else stops the unit when its permits end"))
	case activeCells(unit) > 1:
		errs = append(errs, field.Required(store, "must be a Store: several active cells need one fence domain"))
	}
	return errs
}

// validateTypes lets Sharded units be alone, and one Global unit with City units.
func validateTypes(path *field.Path, spec *UnitizationSpec) field.ErrorList {
	var errs field.ErrorList
	first := spec.Units[0].Type
	global := ""
	for i, unit := range spec.Units {
		path := path.Index(i).Child("type")
		if (unit.Type == UnitSharded) != (first == UnitSharded) {
			errs = append(errs, field.Invalid(path, unit.Type, fmt.Sprintf(
				"must not be beside %s unit %q: Sharded units have a Unitization of their own", first, spec.Units[0].Name)))
			continue
		}
		if unit.Type != UnitGlobal {
			continue
		}
		if global != "" {
			errs = append(errs, field.Invalid(path, unit.Type,
				fmt.Sprintf("must not be beside Global unit %q: there is one", global)))
		} else if global = unit.Name; spec.Shards != 1 {
			errs = append(errs, field.Invalid(path, unit.Type,
				fmt.Sprintf("needs spec.shards to be 1, and it is %d", spec.Shards)))
		}
	}
	if first == UnitCity && global == "" && len(errs) == 0 {
		errs = append(errs, field.Required(path, "must have a Global unit, whose data City units hold copies of"))
	}
	return errs
}

func validateCells(path *field.Path, unit *Unit) field.ErrorList {
	if len(unit.Cells) == 0 {
		return field.ErrorList{field.Required(path, "must have the cells that the unit runs in")}
	}
	if len(unit.Cells) > MaxCells {
		return field.ErrorList{field.TooMany(path, len(unit.Cells), MaxCells)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, cell := range unit.Cells {
		path := path.Index(i)
		bad := validateLabel(path.Child("center"), cell.Center, "hz-a")
		if len(bad) == 0 && seen[cell.Center] {
			bad = field.ErrorList{duplicate(path.Child("center"), cell.Center, "a unit has one cell in a center")}
		}
		seen[cell.Center] = true
		errs = append(errs, bad...)
		if cell.Clusters != nil {
			errs = append(errs, metav1validation.ValidateLabelSelector(cell.Clusters,
				metav1validation.LabelSelectorValidationOptions{}, path.Child("clusters"))...)
		}
		if cell.Standby && unit.Type == UnitCity {
			errs = append(errs, field.Invalid(path.Child("standby"), true,
				"must not be set: a City unit takes no writes anyway"))
		}
	}
	if unit.Type.Owns() && activeCells(unit) == 0 {
		errs = append(errs, field.Required(path, "must have a cell that is not standby: somebody takes the writes"))
	}
	return errs
}

func activeCells(unit *Unit) int {
	n := 0
	for _, cell := range unit.Cells {
		if !cell.Standby {
			n++
		}
	}
	return n
}
