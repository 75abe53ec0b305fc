package oracle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/record"
)

func TestACleanHistoryPasses(t *testing.T) {
	v := oracle.Judge(clean(), oracle.DefaultBounds())
	for _, f := range v.Findings {
		if !f.Pass {
			t.Errorf("%s: %v", f.Rule, f.Examples)
		}
	}
	if !v.Pass || !v.Fast || len(v.Findings) != len(oracle.Rules()) {
		t.Errorf("pass %v with %d findings of %d rules", v.Pass, len(v.Findings), len(oracle.Rules()))
	}
	if v.Accounts.InFlight != 2 || v.Accounts.Failed() != 0 || v.Accounts.OK != 1200 {
		t.Errorf("accounts %+v", v.Accounts)
	}
}

func TestEachPlantedViolationIsFoundByItsRuleAlone(t *testing.T) {
	bounds := oracle.DefaultBounds()
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			h := clean()
			p.plant(&h)
			v := oracle.Judge(h, bounds)
			aboutSpeed := []string{oracle.RuleSpread, oracle.RuleWrite, oracle.RuleRegion}
			if speed := slices.Contains(aboutSpeed, p.rule); v.Pass != speed || v.Fast == speed {
				t.Errorf("pass %v, fast %v", v.Pass, v.Fast)
			}
			for _, f := range v.Findings {
				switch {
				case f.Rule != p.rule && !f.Pass:
					t.Errorf("%s fails too: %v", f.Rule, f.Examples)
				case f.Rule == p.rule && f.Pass:
					t.Error("its rule did not find it")
				case f.Rule == p.rule && !strings.Contains(strings.Join(f.Examples, "\n"), p.says):
					t.Errorf("examples %q do not say %q", f.Examples, p.says)
				}
			}
		})
	}
}

func TestEveryRuleHasAPlant(t *testing.T) {
	for _, rule := range oracle.Rules() {
		found := false
		for _, p := range plants {
			found = found || p.rule == rule
		}
		for _, p := range unitPlants {
			found = found || p.rule == rule
		}
		if !found {
			t.Errorf("no plant breaks %q", rule)
		}
	}
}

func TestAnEmptyHistoryFails(t *testing.T) {
	if oracle.Judge(oracle.History{}, oracle.DefaultBounds()).Pass {
		t.Error("a verdict about nothing is yes")
	}
}

func TestWhatIsExcused(t *testing.T) {
	for name, excused := range map[string]func(*oracle.History){
		"a failed read of a sharded service": func(h *oracle.History) {
			h.Sharded = []string{"sharded"}
			for i := range 100 {
				h.Requests = append(h.Requests, record.Request{
					Client: "b", Service: "sharded", Start: at(10 + float64(i)/10), End: at(10 + float64(i)/10), Code: "Unavailable",
					Cause: record.CauseNoEndpoints,
				})
			}
		},
		"a request within the bound after a removal": func(h *oracle.History) {
			h.Requests = append(h.Requests, answer("b", 20.9, "a"))
		},
		"no endpoints where none existed": func(h *oracle.History) {
			h.Registrations = append(h.Registrations, registration(9.5, "a", false), registration(9.5, "b", false),
				registration(10.2, "a", true), registration(10.2, "b", true))
			h.Requests = append(h.Requests, record.Request{
				Client: "b", Service: "s", Start: at(10), End: at(10), Code: "Unavailable", Cause: record.CauseNoEndpoints,
			})
		},
		"a request to an endpoint whose removal no agent had read": func(h *oracle.History) {
			h.Lives[3].Signal, h.Lives[3].End = at(20.1), at(20.11)
			h.Lives = append(h.Lives, oracle.Life{Process: "agent-a", Role: "agent", Start: at(22), Ready: at(22.5)})
			h.Requests = append(h.Requests, answer("b", 23.4, "a"))
		},
		"no leader where there was no majority": func(h *oracle.History) {
			h.Lives[8].Signal, h.Lives[8].End = at(30.5), at(30.51)
			h.Elections[0].Written, h.Elections[0].Leader = 0, 0
		},
		"a client that did not ask for 4 s": func(h *oracle.History) { silence(h, 10, 14, 3) },
		"a slower leader after a region's death": func(h *oracle.History) {
			h.Elections = append(h.Elections,
				oracle.Election{Step: "region", Old: "b", Region: true, Killed: at(50), Leader: at(53), Written: at(53.5)})
		},
		"requests of a killed client": func(h *oracle.History) {
			h.Requests = append(h.Requests, record.Request{Client: "a", Service: "s", Start: at(10), Open: true})
		},
		"writes without an answer that took effect": func(h *oracle.History) {
			h.Writes = append(h.Writes, oracle.Write{Name: "w", Begin: at(60), End: at(60.5), Error: "timeout"})
			h.Finals["a"]["w"], h.Finals["b"]["w"] = oracle.Object{Generation: 121}, oracle.Object{Generation: 121}
		},
		"a change overtaken by the next": func(h *oracle.History) {
			h.Changes = append(h.Changes, oracle.Change{At: at(26), Superseded: true, Arrivals: arrivals(26, 900)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := clean()
			excused(&h)
			if v := oracle.Judge(h, oracle.DefaultBounds()); !v.Pass {
				for _, f := range v.Findings {
					if !f.Pass {
						t.Errorf("%s: %v", f.Rule, f.Examples)
					}
				}
			}
		})
	}
}

// The order in which things were written down must not matter.
func TestTheVerdictDoesNotHangOnTheOrderOfEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := clean()
		planted := rapid.SampledFrom(plants).Draw(t, "plant")
		planted.plant(&h)
		want := oracle.Judge(h, oracle.DefaultBounds())
		h.Requests = rapid.Permutation(h.Requests).Draw(t, "requests")
		h.Registrations = rapid.Permutation(h.Registrations).Draw(t, "registrations")
		got := oracle.Judge(h, oracle.DefaultBounds())
		for i, f := range got.Findings {
			if f.Pass != want.Findings[i].Pass || f.Violations != want.Findings[i].Violations {
				t.Fatalf("%s: %d violations, in order %d", f.Rule, f.Violations, want.Findings[i].Violations)
			}
		}
	})
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for share, want := range map[float64]time.Duration{0.5: 50, 0.99: 99, 1: 100, 0: 1} {
		if got := oracle.Percentile(hundred, share); got != want {
			t.Errorf("p%g of 1..100 is %d, want %d", share*100, got, want)
		}
	}
	if got := oracle.Percentile(nil, 0.99); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}
