package agent

import (
	"testing"
	"time"

	"cloudy/firstboot/membership"
)

func TestHealer(t *testing.T) {
	const a, b = membership.Name("c00000000000a"), membership.Name("c00000000000b")
	type answers = map[membership.Name]bool
	start := time.Unix(1000, 0)
	for name, steps := range map[string][]struct {
		at   int
		in   answers
		heal bool
	}{
		"answers":                  {{0, answers{a: true}, false}, {60, answers{a: true}, false}},
		"deaf for long":            {{0, answers{a: false, b: true}, false}, {8, answers{a: false, b: true}, false}, {17, answers{a: false, b: true}, true}, {21, answers{a: false}, false}},
		"one answer in between":    {{0, answers{a: false}, false}, {8, answers{a: true}, false}, {17, answers{a: false}, false}, {25, answers{a: false}, false}},
		"tinc noticed it":          {{0, answers{a: false}, false}, {12, answers{}, false}, {18, answers{a: false}, false}},
		"not too often":            {{0, answers{a: false}, false}, {17, answers{a: false}, true}, {20, answers{a: false}, false}, {40, answers{a: false}, false}, {300, answers{a: false}, false}, {317, answers{a: false}, true}},
		"the pause grows":          {{0, answers{a: false}, false}, {17, answers{a: false}, true}, {317, answers{a: false}, false}, {334, answers{a: false}, true}, {640, answers{a: false}, false}, {930, answers{a: false}, false}, {940, answers{a: false}, true}},
		"none of several answers":  {{0, answers{a: false, b: false}, false}, {40, answers{a: false, b: false}, false}, {60, answers{a: false, b: false}, true}},
		"a slow machine":           {{0, answers{a: false, b: false}, false}, {20, answers{a: false, b: false}, false}, {30, answers{a: false, b: true}, true}},
		"two, one after the other": {{0, answers{a: false, b: true}, false}, {10, answers{a: true, b: false}, false}, {20, answers{a: true, b: false}, false}, {27, answers{a: true, b: false}, true}},
	} {
		var h healer
		for _, s := range steps {
			if got := h.heard(start.Add(time.Duration(s.at)*time.Second), s.in); got != s.heal {
				t.Errorf("%s: after %d s: %v, want %v", name, s.at, got, s.heal)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	for n := range 100 {
		for range 20 {
			if d := backoff(n, retryMax); d < retryFirst/4 || d > retryFirst/4+retryMax {
				t.Fatalf("after %d failures: %s", n, d)
			}
		}
	}
}
