package agent

import (
	"testing"
	"time"

	"cloudy/firstboot/membership"
)

func TestJudge(t *testing.T) {
	node := func(seq uint64, lot string) membership.Node { return membership.Node{Seq: seq, Lot: lot} }
	other := node(9, "b")
	other.Key[0] = 1
	for name, tt := range map[string]struct {
		mine, other membership.Node
		same        bool
		want        verdict
	}{
		"one's own":                          {node(5, ""), node(5, ""), true, nothing},
		"an older one":                       {node(5, ""), node(4, ""), false, nothing},
		"of somebody else":                   {node(5, ""), other, false, nothing},
		"newer: a backup was restored":       {node(5, ""), node(9, ""), false, answer},
		"the same number, another text":      {node(5, ""), node(5, ""), false, answer},
		"the other has drawn":                {node(5, ""), node(6, "x"), false, answer},
		"both have, the other's is larger":   {node(5, "a"), node(6, "b"), false, answer},
		"both have, the other's is smaller":  {node(5, "b"), node(6, "a"), false, leave},
		"both have the same, copied with it": {node(5, "a"), node(6, "a"), false, answer},
	} {
		if got := judge(tt.mine, tt.other, tt.same); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func TestFlapped(t *testing.T) {
	var d double
	now := time.Unix(1000, 0)
	for i := range 20 { // one loss in two minutes is a bad link
		if d.flapped(now.Add(time.Duration(i) * 2 * time.Minute)) {
			t.Fatal("a bad link looks like a copy")
		}
	}
	now = now.Add(time.Hour)
	var sure bool
	for i := range doubleFlaps {
		sure = d.flapped(now.Add(time.Duration(i) * 5 * time.Second))
	}
	if !sure {
		t.Error("a link that comes back every 5 seconds is not noticed")
	}
}
