package switchover

import (
	"fmt"
	"testing"
)

// BenchmarkAThousandAcknowledgements is a freeze that a thousand relays acknowledge, one by one and in one event.
func BenchmarkAThousandAcknowledgements(b *testing.B) {
	s := smallState(b)
	for i := range 1000 {
		s, _ = s.Apply(OpenSession{Session{ID: fmt.Sprint(i), Holder: Relay, Name: "r", Center: "hz-a"}})
	}
	s = approved(b, s, "x", evacuateHangzhou)
	frozen := mustApply(b, s, Freeze{"x", "uid-x"})
	freeze := frozen.Switchovers["x"].Freeze
	together := AckFreezes{}
	for i := range 1000 {
		together.Acks = append(together.Acks, AckFreeze{fmt.Sprint(i), freeze})
	}
	b.Run("OneByOne", func(b *testing.B) {
		for b.Loop() {
			s := frozen
			for _, ack := range together.Acks {
				s, _ = s.Apply(ack)
			}
		}
	})
	b.Run("Together", func(b *testing.B) {
		for b.Loop() {
			frozen.Apply(together)
		}
	})
}
