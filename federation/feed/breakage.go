package feed

// breakage is a set of rules that a test breaks on purpose, to see that the property tests find it. Production code
// never sets one; the zero value keeps every rule.
type breakage uint64

func (b breakage) has(rule breakage) bool { return b&rule != 0 }
