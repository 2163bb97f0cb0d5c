package recipe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest returns the candidate that a person who wrote given most likely
// meant, or an empty string when none is near enough.
func Nearest(given string, candidates []string) string {
	best, bestDistance := "", 1+max(1, (len(given)+2)/3)
	sorted := slices.Sorted(slices.Values(candidates))
	for _, c := range sorted {
		if strings.EqualFold(c, given) {
			return c
		}
		if d := levenshtein.Distance(strings.ToLower(given), strings.ToLower(c), nil); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best == "" && len(given) >= 3 {
		for _, c := range sorted {
			if strings.HasPrefix(c, given) || len(c) >= 3 && strings.HasPrefix(given, c) {
				return c
			}
		}
	}
	return best
}

// didYouMean is the sentence that names the nearest candidate, or all of
// them when none is near and they are few.
func didYouMean(given string, candidates []string) string {
	if best := Nearest(given, candidates); best != "" {
		return fmt.Sprintf("Did you mean %q?", best)
	}
	return known(candidates)
}

// known lists what there is to choose from.
func known(candidates []string) string {
	if len(candidates) == 0 || len(candidates) > 24 {
		return ""
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(candidates)))
	return "There is " + strings.Join(sorted, ", ") + "."
}
