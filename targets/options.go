package targets

import (
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/fail"
)

// OptionsOf returns the options of type T of a request: none, T or *T.
func OptionsOf[T any](target string, v any) (T, error) {
	var zero T
	switch v := v.(type) {
	case nil:
		return zero, nil
	case T:
		return v, nil
	case *T:
		return *v, nil
	}
	return zero, fmt.Errorf("%s: options of type %T", target, v)
}

// Formats returns the formats that a recipe asks for, sorted and each once, or
// def where it asks for none. The error for one that is not known is the
// user's.
func Formats(target string, asked, known []string, def string) ([]string, error) {
	if len(asked) == 0 {
		return []string{def}, nil
	}
	for _, f := range asked {
		if !slices.Contains(known, f) {
			return nil, fail.Mark(fail.User, fmt.Errorf("%s: unknown format %q (%s)", target, f, strings.Join(known, ", ")))
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(asked))), nil
}
