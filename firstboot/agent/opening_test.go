package agent

import (
	"slices"
	"testing"
	"time"

	"cloudy/firstboot/membership"
)

func TestOpening(t *testing.T) {
	const a, b, c = membership.Name("c00000000000a"), membership.Name("c00000000000b"), membership.Name("c00000000000c")
	type names = []membership.Name
	start := time.Unix(1000, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for name, steps := range map[string][]struct {
		at      int
		chosen  names
		reached int // since when somebody is, -1: nobody
		want    names
	}{
		"one after the other":   {{0, names{a, b, c}, -1, names{b}}, {2, names{a, b, c}, 1, names{b}}, {5, names{a, b, c}, 1, names{a, b, c}}},
		"it stays":              {{0, names{a, b}, -1, names{b}}, {5, names{a, b}, 1, names{a, b}}, {6, names{a, b}, -1, names{a, b}}},
		"the first one is dead": {{0, names{a, b}, -1, names{b}}, {7, names{a, b}, -1, names{b}}, {8, names{a, b}, -1, names{a, b}}},
		"reached late":          {{0, names{a, b}, -1, names{b}}, {7, names{a, b}, 7, names{b}}, {9, names{a, b}, 7, names{b}}, {11, names{a, b}, 7, names{a, b}}},
		"one link only":         {{0, names{a}, -1, names{a}}, {2, names{a, c}, 1, names{a}}, {5, names{a, c}, 1, names{a, c}}},
		"no link":               {{0, nil, -1, nil}},
	} {
		var o opening
		for _, s := range steps {
			since := map[membership.Name]time.Time{}
			if s.reached >= 0 {
				since[b] = at(s.reached)
			}
			if got := o.links(at(s.at), s.chosen, b, since); !slices.Equal(got, s.want) {
				t.Errorf("%s: after %d s: %v, want %v", name, s.at, got, s.want)
			}
		}
	}
}
