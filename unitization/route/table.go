package route

import "fmt"

// Tables are the compiled rules of several Unitizations that live side by side, found by the service's name.
type Tables struct {
	byService     map[string]*Table
	byUnitization map[string]*Table
}

// Compile fails with a *RulesError, also when a Unitization is there twice or a service is in two.
func Compile(rules []Rules) (*Tables, error) {
	t := &Tables{byService: map[string]*Table{}, byUnitization: map[string]*Table{}}
	for _, r := range rules {
		table, err := CompileTable(r)
		if err != nil {
			return nil, err
		}
		if t.byUnitization[r.Unitization] != nil {
			return nil, &RulesError{r.Unitization, "unitization", r.Unitization, "is there twice"}
		}
		t.byUnitization[r.Unitization] = table
		for _, s := range r.Services {
			if other := t.byService[s.Name]; other != nil {
				return nil, &RulesError{r.Unitization, "services", s.Name, fmt.Sprintf("is in unitization %q already", other.name)}
			}
			t.byService[s.Name] = table
		}
	}
	return t, nil
}

// Service is the table of the Unitization whose units serve it; nil: it is not of units.
func (t *Tables) Service(name string) *Table { return t.byService[name] }

// Unitization is a table by its Unitization's name; nil: there is none.
func (t *Tables) Unitization(name string) *Table { return t.byUnitization[name] }

// Table is the compiled rules of one Unitization.
type Table struct {
	name   string
	header string
	shards uint64
	// digits is how many LastDigits takes; 0: Modulo.
	digits, skip int
	overrides    map[string]int
	methods      map[string]*Methods
}

// CompileTable compiles the rules of one Unitization. It fails with a *RulesError.
func CompileTable(r Rules) (*Table, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	t := &Table{name: r.Unitization, header: r.Header, shards: uint64(r.Shards), methods: map[string]*Methods{}}
	if r.Shards > 1 && r.Function == LastDigits {
		t.digits, t.skip = zeros(r.Shards), r.Skip
	}
	if r.Shards > 1 && len(r.Overrides) > 0 {
		t.overrides = make(map[string]int, len(r.Overrides))
		for key, shard := range r.Overrides {
			t.overrides[key] = shard
		}
	}
	for _, s := range r.Services {
		if t.methods[s.Name] != nil {
			return nil, &RulesError{r.Unitization, "services", s.Name, "is there twice"}
		}
		methods, err := CompileMethods(s.Reads)
		if err != nil {
			return nil, err
		}
		t.methods[s.Name] = methods
	}
	return t, nil
}

// Unitization is the name.
func (t *Table) Unitization() string { return t.name }

// Shards is how many there are; 1 means that no key is needed.
func (t *Table) Shards() int { return int(t.shards) }

// Header carries the key; empty when Shards is 1.
func (t *Table) Header() string { return t.header }

// Methods are those of a service; nil, for which everything is a write, when the service is not the Unitization's.
func (t *Table) Methods(service string) *Methods { return t.methods[service] }

// Shard is the key's. It fails with a *KeyError.
func (t *Table) Shard(key string) (int, error) {
	if t.shards == 1 {
		return 0, nil
	}
	if t.overrides != nil {
		if shard, ok := t.overrides[key]; ok {
			return shard, nil
		}
	}
	if t.digits > 0 {
		if shard, ok := lastDigits(key, t.skip, t.digits); ok {
			return shard, nil
		}
	} else if shard, ok := remainder(key, t.shards); ok {
		return int(shard), nil
	}
	return 0, &KeyError{Unitization: t.name, Header: t.header, Key: key}
}

// KeyError is a key that makes no shard.
type KeyError struct{ Unitization, Header, Key string }

func (e *KeyError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("key of unitization %q (header %s): is empty: must be a decimal id, as in 1203456",
			e.Unitization, e.Header)
	}
	at := 0
	for at < len(e.Key)-1 && e.Key[at] >= '0' && e.Key[at] <= '9' {
		at++
	}
	return fmt.Sprintf(
		"key of unitization %q (header %s): %.80q: has %q at byte %d: must be a decimal id, digits 0 to 9 only",
		e.Unitization, e.Header, e.Key, e.Key[at], at)
}
