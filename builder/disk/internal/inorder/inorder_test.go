package inorder

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
)

var errBad = errors.New("bad")

// count makes a work that squares the numbers below n; fail is called with
// what is being done to which number.
func count(n int, out *[]int, made *atomic.Int32, fail func(what string, i int) error) Work[[2]int] {
	return Work[[2]int]{
		Read: func(next func() (*[2]int, error), send func(*[2]int) error) error {
			for i := range n {
				j, err := next()
				if err != nil {
					return err
				}
				*j = [2]int{i, 0}
				if err := errors.Join(fail("read", i), send(j)); err != nil {
					return err
				}
			}
			return nil
		},
		Worker: func() (func(*[2]int) error, error) {
			made.Add(1)
			return func(j *[2]int) error { j[1] = j[0] * j[0]; return fail("work", j[0]) }, fail("worker", 0)
		},
		Take: func(j *[2]int) error { *out = append(*out, j[1]); return fail("take", j[0]) },
	}
}

func TestOrder(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		var out, want []int
		var made atomic.Int32
		if err := count(n, &out, &made, func(string, int) error { return nil }).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			want = append(want, i*i)
		}
		if !slices.Equal(out, want) || made.Load() == 0 {
			t.Errorf("%d jobs gave %d results, or not in order", n, len(out))
		}
	}
}

func TestEndsWithAnyError(t *testing.T) {
	for _, where := range []string{"read", "work", "worker", "take"} {
		var out []int
		var made atomic.Int32
		err := count(500, &out, &made, func(what string, i int) error {
			if what == where && (i == 77 || what == "worker") {
				return errBad
			}
			return nil
		}).Run(t.Context())
		if !errors.Is(err, errBad) {
			t.Errorf("%s: %v", where, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var out []int
	var made atomic.Int32
	err := count(500, &out, &made, func(what string, i int) error {
		if what == "take" && i == 7 {
			stop()
		}
		return nil
	}).Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped from outside: %v after %d results", err, len(out))
	}
}
