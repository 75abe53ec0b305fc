package vm

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// Parse reads a registry file. It takes the file whole or refuses it whole, with an error that names every field that
// is wrong, its value and what would be right.
func Parse(data []byte) (*Registry, error) {
	value, err := decode(data)
	if err != nil {
		return nil, err
	}
	var errs field.ErrorList
	root := tree{nil, value, &errs}
	if _, ok := value.(map[string]any); !ok {
		return nil, fmt.Errorf("the file must be a map with the field services, not %v", show(value))
	}
	root.fields("services")
	r := &Registry{}
	names := map[string]bool{}
	for _, item := range root.child("services").list() {
		s := service(item)
		if names[s.Name] && s.Name != "" {
			errs = append(errs, field.Duplicate(item.path.Child("name"), s.Name))
		}
		names[s.Name] = true
		r.Services = append(r.Services, s)
	}
	if more := len(errs) - maxMistakes; more > 0 {
		return nil, fmt.Errorf("%w and %d more mistakes", errs[:maxMistakes].ToAggregate(), more)
	}
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return r, nil
}

// maxMistakes is how many are named at once.
const maxMistakes = 20

func service(t tree) *Service {
	if _, ok := t.fields("name", "ports", "check", "instances"); !ok {
		return &Service{}
	}
	s := &Service{
		Name:  t.child("name").name(model.ValidateServiceName),
		Ports: ports(t.child("ports")),
	}
	if check := t.child("check"); check.value != nil {
		s.Check = checkOf(check, s.Ports)
	}
	names, taken := map[string]bool{}, map[netip.AddrPort]string{}
	for _, item := range t.child("instances").list() {
		i, ok := instance(item, s)
		if !ok {
			continue
		}
		if names[i.Name] {
			*t.errs = append(*t.errs, field.Duplicate(item.path.Child("name"), i.Name))
		}
		names[i.Name] = true
		for port, number := range i.Ports {
			at := i.at(port)
			// One instance may serve two ports at one number; two instances cannot.
			if other, dup := taken[at]; dup && other != i.Name {
				*t.errs = append(*t.errs, field.Invalid(item.path.Child("ports").Key(port), number,
					fmt.Sprintf("%s is already that of instance %q", at, other)))
			}
			taken[at] = i.Name
		}
		s.Instances = append(s.Instances, i)
	}
	return s
}

var protocols = map[string]modelpb.Protocol{
	"TCP": modelpb.Protocol_PROTOCOL_TCP, "HTTP": modelpb.Protocol_PROTOCOL_HTTP, "GRPC": modelpb.Protocol_PROTOCOL_GRPC,
}

func ports(t tree) []Port {
	var all []Port
	names, numbers := map[string]bool{}, map[uint32]bool{}
	items := t.list()
	if t.value != nil && len(items) == 0 {
		t.refuse("must have at least one port")
	}
	for _, item := range items {
		if _, ok := item.fields("name", "port", "protocol"); !ok {
			continue
		}
		number := item.child("port")
		p := Port{
			Name:     item.child("name").name(model.ValidatePortName),
			Number:   uint32(number.number(1, 1<<16-1, 0)),
			Protocol: choice(item.child("protocol"), "TCP", protocols),
		}
		if number.value == nil {
			*t.errs = append(*t.errs, field.Required(number.path, "the number that clients name, from 1 to 65535"))
		}
		if names[p.Name] {
			*t.errs = append(*t.errs, field.Duplicate(item.child("name").path, p.Name))
		}
		if p.Number != 0 && numbers[p.Number] {
			*t.errs = append(*t.errs, field.Duplicate(number.path, p.Number))
		}
		names[p.Name], numbers[p.Number] = true, true
		all = append(all, p)
	}
	return all
}

var checkTypes = map[string]CheckType{
	string(CheckTCP): CheckTCP, string(CheckHTTP): CheckHTTP, string(CheckGRPC): CheckGRPC,
}

func checkOf(t tree, ports []Port) *Check {
	if _, ok := t.fields("type", "port", "path", "service", "interval", "timeout", "healthy", "unhealthy"); !ok {
		return nil
	}
	c := &Check{
		Type:      choice(t.child("type"), "", checkTypes),
		Path:      t.child("path").text(""),
		Service:   t.child("service").text(""),
		Interval:  t.child("interval").duration(minInterval, maxInterval, defaultInterval),
		Timeout:   t.child("timeout").duration(minTimeout, maxTimeout, defaultTimeout),
		Healthy:   t.child("healthy").number(1, maxThreshold, defaultHealthy),
		Unhealthy: t.child("unhealthy").number(1, maxThreshold, defaultUnhealthy),
	}
	switch path := t.child("path"); {
	case c.Type == CheckHTTP && path.value == nil:
		c.Path = "/"
	case c.Type == CheckHTTP && !isPath(c.Path):
		path.refuse("must be a path that begins with /, like /healthz")
	case c.Type != CheckHTTP && c.Type != "" && path.value != nil:
		path.refuse("only a check of type http has a path")
	}
	if s := t.child("service"); s.value != nil && c.Type != CheckGRPC {
		s.refuse("only a check of type grpc has a service")
	}
	names := map[string]string{}
	for _, p := range ports {
		names[p.Name] = p.Name
	}
	if port := t.child("port"); port.value == nil && len(ports) == 1 {
		c.Port = ports[0].Name
	} else if len(ports) > 0 {
		c.Port = choice(port, "", names)
	}
	return c
}

func isPath(s string) bool {
	_, err := url.ParseRequestURI(s)
	return err == nil && strings.HasPrefix(s, "/")
}

func validateUnit(at *field.Path, name string) field.ErrorList {
	var errs field.ErrorList
	for _, wrong := range validation.IsDNS1123Label(name) {
		errs = append(errs, field.Invalid(at, name, wrong))
	}
	return errs
}

func instance(t tree, s *Service) (*Instance, bool) {
	if _, ok := t.fields("name", "address", "ports", "weight", "state", "unit"); !ok {
		return nil, false
	}
	before := len(*t.errs)
	i := &Instance{
		Name:     t.child("name").name(model.ValidateServiceName),
		Address:  t.child("address").name(model.ValidateAddress),
		Ports:    map[string]uint32{},
		Weight:   uint32(t.child("weight").number(1, model.MaxWeight, 1)),
		Draining: choice(t.child("state"), "Ready", map[string]bool{"Ready": false, "Draining": true}),
	}
	if unit := t.child("unit"); unit.value != nil {
		i.Unit = unit.name(validateUnit)
	}
	known := make([]string, 0, len(s.Ports))
	for _, p := range s.Ports {
		known = append(known, p.Name)
	}
	at := t.child("ports")
	numbers, ok := at.fields(known...)
	if !ok {
		return nil, false
	}
	for port := range numbers {
		number := at.child(port)
		if number.value == nil {
			number.refuse("must be a whole number from 1 to 65535")
		}
		i.Ports[port] = uint32(number.number(1, 1<<16-1, 0))
	}
	if s.Check != nil && s.Check.Port != "" && numbers[s.Check.Port] == nil {
		*t.errs = append(*t.errs, field.Required(at.child(s.Check.Port).path, "the check asks this port"))
	} else if len(numbers) == 0 {
		at.refuse("must have at least one of the service's ports")
	}
	return i, len(*t.errs) == before
}
