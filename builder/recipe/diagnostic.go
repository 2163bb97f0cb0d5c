package recipe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"cloudy/builder/fail"

	"github.com/hashicorp/hcl/v2"
)

// Range says where something stands in a recipe: file, line and column. The
// zero Range means that it stands nowhere (a default, a built-in).
type Range = hcl.Range

// Diagnostic is one mistake or warning with the place where it is.
type Diagnostic = hcl.Diagnostic

// Diagnostics is a list of mistakes and warnings.
type Diagnostics = hcl.Diagnostics

// Errorf makes an error at a place in a recipe. detail may be empty; it says
// what to do about it, in sentences.
func Errorf(at Range, detail, format string, args ...any) *Diagnostic {
	return newDiagnostic(hcl.DiagError, at, detail, format, args...)
}

// Warnf makes a warning, as Errorf does an error.
func Warnf(at Range, detail, format string, args ...any) *Diagnostic {
	return newDiagnostic(hcl.DiagWarning, at, detail, format, args...)
}

func newDiagnostic(s hcl.DiagnosticSeverity, at Range, detail, format string, args ...any) *Diagnostic {
	d := &Diagnostic{Severity: s, Summary: fmt.Sprintf(format, args...), Detail: detail}
	if at != (Range{}) {
		d.Subject = &at
	}
	return d
}

// place writes a range as file:line:column.
func place(r Range) string {
	return fmt.Sprintf("%s:%d:%d", r.Filename, r.Start.Line, r.Start.Column)
}

// Located is an error that comes up in a build because of what stands at a
// place in the recipe.
type Located struct {
	Range Range
	Err   error
}

// At returns err with its place in the recipe; nil for nil.
func At(at Range, err error) error {
	if err == nil || at == (Range{}) {
		return err
	}
	return &Located{at, err}
}

func (l *Located) Error() string { return place(l.Range) + ": " + l.Err.Error() }

// Unwrap returns the error without its place.
func (l *Located) Unwrap() error { return l.Err }

// Diagnostic is the error as a diagnostic: its first line, and the others as
// the detail.
func (l *Located) Diagnostic() *Diagnostic {
	summary, detail, _ := strings.Cut(l.Err.Error(), "\n")
	return Errorf(l.Range, detail, "%s", summary)
}

// Tidy sorts diagnostics by place and drops those said before. An image is
// evaluated once for each architecture, so most mistakes come up repeatedly.
func Tidy(diags Diagnostics) Diagnostics {
	type key struct {
		severity        hcl.DiagnosticSeverity
		summary, detail string
		at              string
	}
	seen := map[key]bool{}
	var out Diagnostics
	for _, d := range diags {
		k := key{d.Severity, d.Summary, d.Detail, ""}
		if d.Subject != nil {
			k.at = place(*d.Subject)
		}
		if !seen[k] {
			seen[k] = true
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b *Diagnostic) int {
		if a.Subject == nil || b.Subject == nil {
			return cmp.Compare(boolInt(a.Subject != nil), boolInt(b.Subject != nil))
		}
		return cmp.Or(strings.Compare(a.Subject.Filename, b.Subject.Filename),
			cmp.Compare(a.Subject.Start.Byte, b.Subject.Start.Byte))
	})
	return out
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Mistakes is an error made of diagnostics, for callers that want an error.
type Mistakes struct {
	Diagnostics Diagnostics
	text        string
}

// Error returns the diagnostics as they are shown to a person, without colour.
func (m *Mistakes) Error() string { return m.text }

// Err returns nil when diags has no error, else a *Mistakes marked as the
// user's mistake whose text shows all of them with their source lines.
func (m *Module) Err(diags Diagnostics) error {
	if !diags.HasErrors() {
		return nil
	}
	var b strings.Builder
	m.Render(&b, diags, false)
	return fail.Mark(fail.User, &Mistakes{Diagnostics: diags, text: strings.TrimRight(b.String(), "\n")})
}
