package ledger

import (
	"slices"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/unitization/fence"
)

// agent takes one step of a member's agent.
func (s *simulation) agent(m *simMember) {
	switch s.rand.IntN(4) {
	case 0:
		if o := s.intent.order; o != nil {
			m.seen = o
		}
		if m.seen != nil && m.seen.For(m.name) && len(m.calls) < 4 {
			m.calls = append(m.calls, *m.seen)
		}
	case 1, 2:
		if len(m.calls) == 0 || !m.up {
			return
		}
		i := 0
		if s.rand.IntN(8) == 0 {
			i = s.rand.IntN(len(m.calls)) // calls overtake each other
		}
		o := m.calls[i]
		if s.rand.IntN(3) > 0 { // else it is made again
			m.calls = slices.Delete(m.calls, i, i+1)
		}
		if len(m.made) > 0 && s.rand.IntN(10) == 0 {
			o = m.made[s.rand.IntN(len(m.made))] // a proxy has kept it
		} else {
			m.made = append(m.made[max(0, len(m.made)-7):], o)
		}
		if state, err := s.obey(m, o); err == nil && o.Obeyed(state) == nil {
			m.reports = append(m.reports[max(0, len(m.reports)-2):], simReport{o, state})
		}
	case 3:
		if len(m.reports) > 0 && (!s.cut[m.name] || s.rand.IntN(8) == 0) {
			s.intent.report(m.name, m.reports[0])
			m.reports = m.reports[1:]
		}
	}
}

func (s *simulation) obey(m *simMember, o fence.Order) (fence.State, error) {
	c := m.core
	var err error
	switch o.Action {
	case fence.Fence:
		err = c.fence(o.Token)
	case fence.CatchUp:
		err = s.catchUp(m, o)
	case fence.Promote:
		err = c.promote(o.Token)
	case fence.Open, fence.Unfence:
		err = c.openAt(o.Token)
	}
	return c.state(), err
}

func (s *simulation) catchUp(m *simMember, o fence.Order) error {
	there, err := m.core.catchUp(o.Token, o.Position)
	if err != nil || there {
		return err
	}
	type under struct {
		way    *catching
		source string
		ask    *ledgerpb.FetchRequest
		answer *ledgerpb.FetchResponse
	}
	ways, answers := map[string]*catching{}, []under{}
	for range 12 { // from all sources at once; answers overtake each other
		source := s.members[s.rand.IntN(len(s.members))]
		if s.rand.IntN(2) == 0 && len(answers) > 0 {
			i := s.rand.IntN(len(answers))
			u := answers[i]
			answers = slices.Delete(answers, i, i+1)
			_ = m.core.fetched(u.way, u.source, u.ask, u.answer)
			continue
		}
		if source == m || !source.up || s.cut[source.name] || s.cut[m.name] {
			continue
		}
		if ways[source.name] == nil {
			ways[source.name] = &catching{token: o.Token, to: o.Position, after: m.core.last()}
		}
		if ask, ok := m.core.fetching(ways[source.name]); ok {
			answer := source.core.fetch(ask)
			answer.Records = answer.Records[:min(len(answer.Records), 1+s.rand.IntN(4))] // as if it had been cut in parts
			answers = append(answers, under{ways[source.name], source.name, ask, answer})
		}
	}
	return nil
}
