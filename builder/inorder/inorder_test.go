package inorder

import (
	"context"
	"errors"
	"slices"
	"testing"
)

var errBad = errors.New("bad")

// count squares the numbers below n; fail is called with what is being done to
// which number.
func count(ctx context.Context, n int, out *[]int, fail func(what string, i int) error) error {
	return Work[[2]int]{
		Worker: func() (func(*[2]int) error, error) {
			return func(j *[2]int) error { j[1] = j[0] * j[0]; return fail("work", j[0]) }, fail("worker", 0)
		},
		Take: func(j *[2]int) error { *out = append(*out, j[1]); return fail("take", j[0]) },
	}.Run(ctx, func(l *Line[[2]int]) error {
		for i := range n {
			j, err := l.Next()
			if err != nil {
				return err
			}
			*j = [2]int{i, 0}
			if err := errors.Join(fail("read", i), l.Send(j)); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestOrder(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		var out, want []int
		if err := count(t.Context(), n, &out, func(string, int) error { return nil }); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			want = append(want, i*i)
		}
		if !slices.Equal(out, want) {
			t.Errorf("%d jobs gave %d results, or not in order", n, len(out))
		}
	}
}

func TestEndsWithAnyError(t *testing.T) {
	for _, where := range []string{"read", "work", "worker", "take"} {
		var out []int
		err := count(t.Context(), 500, &out, func(what string, i int) error {
			if what == where && (i == 77 || what == "worker") {
				return errBad
			}
			return nil
		})
		if !errors.Is(err, errBad) {
			t.Errorf("%s: %v", where, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var out []int
	err := count(ctx, 500, &out, func(what string, i int) error {
		if what == "take" && i == 7 {
			stop()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped from outside: %v after %d results", err, len(out))
	}
}
