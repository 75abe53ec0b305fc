package dev

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/sample"
	"pentad.dev/pentad/process"
)

//go:embed plain.yaml
var plainEstate []byte

// PlainEstate names the built-in estate without units, where a file is named.
const PlainEstate = "plain"

// Limits of an estate on one machine. Each center takes some 300 MB.
const (
	maxCenters   = 9
	maxRelays    = 9
	maxInstances = 9
)

// Estate is the estate file.
type Estate struct {
	TrustDomain string   `json:"trustDomain"`
	Regions     []Region `json:"regions"`
	// Relays in each Full center.
	Relays int `json:"relays"`
	// Services of the sample workload in each Full center.
	Services []Service `json:"services"`
	// Rate is requests a second from each Full center's client to each service. Zero: the load generator's default.
	Rate float64 `json:"rate,omitempty"`
	// Unitizations divide services among units. Services that none names are plain.
	Unitizations []Unitization `json:"unitizations,omitempty"`
	// Stores are where units keep their data: ledgers of the sample.
	Stores []Store `json:"stores,omitempty"`
	// Writes a second for each shard, in the estate in all. Zero: 5.
	Writes float64 `json:"writes,omitempty"`
}

// Region is a city with its centers.
type Region struct {
	Name    string   `json:"name"`
	Centers []Center `json:"centers"`
}

// Center is a data center. Role defaults to Full.
type Center struct {
	Name string              `json:"name"`
	Role v1alpha1.CenterRole `json:"role,omitempty"`
}

// Service is one of the sample's services. Instances are in each Full center; of a service of units, in each cell.
type Service struct {
	Name      string `json:"name"`
	Instances int    `json:"instances"`
}

// DefaultEstate is the text of the estate that is built in, to be shown or copied.
func DefaultEstate() string { return string(unitsEstate) }

// ReadEstate reads an estate file; an empty path means the one that is built in, PlainEstate the built-in one without
// units. Every error is a process.UsageError that names the field, the value and what would be right.
func ReadEstate(path string) (*Estate, error) {
	estate := &Estate{}
	switch path {
	case "":
		return estate, process.ParseConfig("the built-in estate", unitsEstate, estate)
	case PlainEstate:
		return estate, process.ParseConfig("the built-in plain estate", plainEstate, estate)
	}
	if err := process.LoadConfig(path, estate); err != nil {
		return nil, fmt.Errorf("estate file: %w", err)
	}
	return estate, nil
}

// Validate refuses an estate with every wrong field named. It also puts in the defaults.
func (e *Estate) Validate() error {
	errs := []error{checkName("trustDomain", e.TrustDomain, validation.IsDNS1123Subdomain)}
	if len(e.Regions) == 0 {
		errs = append(errs, errors.New("regions: must hold at least one"))
	}
	regions, centers, full := map[string]bool{}, map[string]string{}, fullCenters{}
	for i := range e.Regions {
		region := &e.Regions[i]
		field := fmt.Sprintf("regions[%d]", i)
		errs = append(errs, checkName(field+".name", region.Name, validation.IsDNS1123Label))
		if regions[region.Name] {
			errs = append(errs, fmt.Errorf("%s.name: %q is there already: region names are unique", field, region.Name))
		}
		regions[region.Name] = true
		if len(region.Centers) == 0 {
			errs = append(errs, fmt.Errorf("%s.centers: must hold at least one", field))
		}
		for j := range region.Centers {
			center := &region.Centers[j]
			field := fmt.Sprintf("%s.centers[%d]", field, j)
			errs = append(errs, checkName(field+".name", center.Name, validation.IsDNS1123Label))
			if where, there := centers[center.Name]; there {
				errs = append(
					errs,
					fmt.Errorf(
						"%s.name: %q is in region %q already: center names are unique in the estate",
						field,
						center.Name,
						where,
					),
				)
			}
			centers[center.Name] = region.Name
			switch center.Role {
			case "":
				center.Role = v1alpha1.CenterFull
				full[center.Name] = true
			case v1alpha1.CenterFull:
				full[center.Name] = true
			case v1alpha1.CenterArbiter:
			default:
				errs = append(
					errs,
					fmt.Errorf("%s.role: %q is neither %s nor %s", field, center.Role, v1alpha1.CenterFull, v1alpha1.CenterArbiter),
				)
			}
		}
	}
	if len(centers) > maxCenters {
		errs = append(
			errs,
			fmt.Errorf("regions: %d centers are too many for one machine, at most %d", len(centers), maxCenters),
		)
	}
	if len(centers) > 0 && len(full) == 0 {
		errs = append(errs, fmt.Errorf("regions: no center is %s: nothing would run", v1alpha1.CenterFull))
	}
	if e.Relays < 1 || e.Relays > maxRelays {
		errs = append(errs, fmt.Errorf("relays: %d is not between 1 and %d", e.Relays, maxRelays))
	}
	return errors.Join(append(errs, e.validateServices(), e.validateUnits(full))...)
}

func (e *Estate) validateServices() error {
	var errs []error
	if len(e.Services) == 0 {
		errs = append(errs, errors.New("services: must hold at least one"))
	}
	seen := map[string]bool{}
	for i, s := range e.Services {
		field := fmt.Sprintf("services[%d]", i)
		known := false
		for _, name := range sample.ServiceNames() {
			known = known || name == s.Name
		}
		if !known {
			errs = append(
				errs,
				fmt.Errorf("%s.name: %q is no sample service, only %s", field, s.Name, strings.Join(sample.ServiceNames(), ", ")),
			)
		}
		if seen[s.Name] {
			errs = append(errs, fmt.Errorf("%s.name: %q is there already", field, s.Name))
		}
		seen[s.Name] = true
		if s.Instances < 1 || s.Instances > maxInstances {
			errs = append(errs, fmt.Errorf("%s.instances: %d is not between 1 and %d", field, s.Instances, maxInstances))
		}
	}
	if e.Rate < 0 || e.Rate > 1000 {
		errs = append(
			errs,
			fmt.Errorf("rate: %g is not between 0 (the default, %d) and 1000 requests a second", e.Rate, sample.DefaultRate),
		)
	}
	return errors.Join(errs...)
}

func checkName(field, value string, check func(string) []string) error {
	if wrong := check(value); len(wrong) > 0 {
		return fmt.Errorf("%s: %q is no name: %s", field, value, wrong[0])
	}
	return nil
}

// Place is a center with its region.
type Place struct {
	process.Place
	Role v1alpha1.CenterRole
}

// Full says whether the center runs workloads.
func (p Place) Full() bool { return p.Role == v1alpha1.CenterFull }

// Cluster is the name of the center's one cluster.
func (p Place) Cluster() string { return p.Center + "-vm" }

// Places are all centers, in the order of the file.
func (e *Estate) Places() []Place {
	var places []Place
	for _, region := range e.Regions {
		for _, center := range region.Centers {
			places = append(places, Place{Place: process.Place{Region: region.Name, Center: center.Name}, Role: center.Role})
		}
	}
	return places
}
