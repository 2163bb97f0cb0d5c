// Package fail tells apart whose mistake an error is, so that the command
// line can answer with the right exit code and a hint instead of a Go error
// dump.
package fail

import (
	"context"
	"errors"
)

// Kind is the side on which something went wrong.
type Kind int

// The kinds, in the order of their exit codes (see Kind.ExitCode).
const (
	Internal    Kind = iota // a mistake of ours
	Build                   // the build (or a check of an image) failed: a maintainer script, a verify rule
	User                    // the recipe, the lock or the command line is wrong
	Network                 // an archive or registry did not answer, or answered wrongly
	Host                    // this machine lacks something: subuid range, disk space, a kernel feature
	Interrupted             // the user stopped it
)

// ExitCode is the documented exit status of the kind.
func (k Kind) ExitCode() int {
	switch k {
	case Build:
		return 1
	case User:
		return 2
	case Network:
		return 3
	case Host:
		return 4
	case Interrupted:
		return 130
	default:
		return 70
	}
}

// Error carries a kind, and a hint that says what the user can do.
type Error struct {
	Kind Kind
	Hint string // one sentence, or empty
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Mark gives err a kind, or returns nil for a nil err. The innermost mark of
// a chain wins in KindOf, because it stands nearest to the cause.
func Mark(kind Kind, err error) error { return WithHint(kind, err, "") }

// WithHint is Mark with a sentence that says what the user can do about it.
func WithHint(kind Kind, err error, hint string) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Hint: hint, Err: err}
}

// KindOf returns the innermost kind of err's chain; an error that nobody
// marked is Internal, a cancelled context is Interrupted.
func KindOf(err error) Kind {
	kind := Internal
	if errors.Is(err, context.Canceled) {
		kind = Interrupted
	}
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		kind = e.Kind
	}
	return kind
}

// HintOf returns the innermost hint of err's chain, or an empty string.
func HintOf(err error) string {
	hint := ""
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Hint != "" {
			hint = e.Hint
		}
	}
	return hint
}
