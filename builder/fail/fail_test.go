package fail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestKinds(t *testing.T) {
	plain := errors.New("plain")
	for name, tc := range map[string]struct {
		err  error
		kind Kind
		exit int
		hint string
	}{
		"nothing":             {nil, Internal, 70, ""},
		"unmarked":            {plain, Internal, 70, ""},
		"build":               {Mark(Build, plain), Build, 1, ""},
		"user":                {Mark(User, plain), User, 2, ""},
		"network":             {Mark(Network, plain), Network, 3, ""},
		"host":                {WithHint(Host, plain, "do this"), Host, 4, "do this"},
		"cancelled":           {fmt.Errorf("download: %w", context.Canceled), Interrupted, 130, ""},
		"wrapped":             {fmt.Errorf("a: %w", fmt.Errorf("b: %w", WithHint(User, plain, "h"))), User, 2, "h"},
		"innermost wins":      {WithHint(Build, fmt.Errorf("x: %w", WithHint(Network, plain, "inner")), "outer"), Network, 3, "inner"},
		"outer hint remains":  {WithHint(Build, Mark(Network, plain), "outer"), Network, 3, "outer"},
		"joined, first wins":  {errors.Join(plain, Mark(User, plain), Mark(Host, plain)), User, 2, ""},
		"joined with the end": {errors.Join(Mark(Build, plain), context.Canceled), Build, 1, ""},
	} {
		if got := KindOf(tc.err); got != tc.kind || got.ExitCode() != tc.exit {
			t.Errorf("%s: kind %d, exit %d, want %d and %d", name, got, got.ExitCode(), tc.kind, tc.exit)
		}
		if got := HintOf(tc.err); got != tc.hint {
			t.Errorf("%s: hint %q, want %q", name, got, tc.hint)
		}
	}
}

func TestMark(t *testing.T) {
	if Mark(User, nil) != nil || WithHint(User, nil, "h") != nil {
		t.Error("an error out of nothing")
	}
	err := WithHint(Host, fmt.Errorf("open: %w", fs.ErrNotExist), "h")
	if err.Error() != "open: file does not exist" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v hides its cause", err)
	}
	var e *Error
	if !errors.As(err, &e) || e.Kind != Host {
		t.Errorf("%+v", e)
	}
	seen := map[int]Kind{}
	for _, k := range []Kind{Internal, Build, User, Network, Host, Interrupted} {
		if other, twice := seen[k.ExitCode()]; twice {
			t.Errorf("kinds %d and %d have one exit code", k, other)
		}
		seen[k.ExitCode()] = k
	}
}
