package switchover

import (
	"fmt"
	"testing"
)

// BenchmarkAThousandAcknowledgements is a freeze that a thousand relays acknowledge, one by one.
func BenchmarkAThousandAcknowledgements(b *testing.B) {
	s := smallState(b)
	for i := range 1000 {
		s, _ = s.Apply(OpenSession{Session{ID: fmt.Sprint(i), Holder: Relay, Name: "r", Center: "hz-a"}})
	}
	s = approved(b, s, "x", evacuateHangzhou)
	frozen := mustApply(b, s, Freeze{"x", "uid-x"})
	freeze := frozen.Switchovers["x"].Freeze
	for b.Loop() {
		s := frozen
		for i := range 1000 {
			s, _ = s.Apply(AckFreeze{fmt.Sprint(i), freeze})
		}
	}
}
