package deb

import (
	"fmt"
	"strings"
)

// Relation names a package that another one depends on, conflicts with,
// provides and so on (Policy 7.1).
type Relation struct {
	Name      string
	Qualifier string // after the colon: "", "any", "native" or an architecture
	Op        string // "", "<<", "<=", "=", ">=" or ">>"
	Version   string // empty when Op is
	// Restriction is the text of architecture lists and build profiles, as
	// "[linux-any] <!nocheck>". dpkg resolves those when it builds a binary
	// package, so that indexes of binary packages have none; it is kept for
	// source packages and otherwise ignored.
	Restriction string
}

// Alternatives are relations of which one is enough ("a | b").
type Alternatives []Relation

// Relations is a whole relationship field: all of its items must hold.
type Relations []Alternatives

// SatisfiedBy says whether a package of the given version meets the version
// part of r.
func (r Relation) SatisfiedBy(version string) bool {
	if r.Op == "" {
		return true
	}
	c := CompareVersions(version, r.Version)
	switch r.Op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	case ">>":
		return c > 0
	}
	return false
}

// String writes r as it stands in a control file.
func (r Relation) String() string {
	s := r.Name
	if r.Qualifier != "" {
		s += ":" + r.Qualifier
	}
	if r.Op != "" {
		s += " (" + r.Op + " " + r.Version + ")"
	}
	if r.Restriction != "" {
		s += " " + r.Restriction
	}
	return s
}

// String joins the alternatives with bars.
func (a Alternatives) String() string {
	if len(a) == 1 {
		return a[0].String()
	}
	s := make([]string, len(a))
	for i := range a {
		s[i] = a[i].String()
	}
	return strings.Join(s, " | ")
}

// String joins the items with commas.
func (rs Relations) String() string {
	s := make([]string, len(rs))
	for i := range rs {
		s[i] = rs[i].String()
	}
	return strings.Join(s, ", ")
}

// ParseRelations reads a relationship field. Empty items (a trailing comma,
// say) are dropped as dpkg and apt do. The deprecated operators "<" and ">"
// become "<=" and ">=", which is what dpkg takes them for. The strings of the
// result share s's memory.
func ParseRelations(s string) (Relations, error) {
	p := relationParser{s: s}
	p.space()
	if p.i == len(s) {
		return nil, nil
	}
	rs := make(Relations, 0, strings.Count(s, ",")+1)
	// All relations of the field sit in one array that the items slice.
	flat := make([]Relation, 0, cap(rs)+strings.Count(s, "|"))
	for p.i < len(s) {
		if p.take(',') {
			continue
		}
		start := len(flat)
		for {
			r, err := p.relation()
			if err != nil {
				return nil, fmt.Errorf("relation field, byte %d: %w", p.i, err)
			}
			flat = append(flat, r)
			if !p.take('|') {
				break
			}
		}
		rs = append(rs, Alternatives(flat[start:len(flat):len(flat)]))
		if p.i < len(s) && !p.take(',') {
			return nil, fmt.Errorf("relation field, byte %d: want a comma or a bar after %q", p.i, flat[len(flat)-1].Name)
		}
	}
	return rs, nil
}

type relationParser struct {
	s string
	i int
}

func (p *relationParser) space() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t' || p.s[p.i] == '\n' || p.s[p.i] == '\r') {
		p.i++
	}
}

// take skips c and white space after it, and says whether c was there.
func (p *relationParser) take(c byte) bool {
	if p.i >= len(p.s) || p.s[p.i] != c {
		return false
	}
	p.i++
	p.space()
	return true
}

// word takes bytes up to white space or one of stop.
func (p *relationParser) word(stop string) string {
	start := p.i
	for p.i < len(p.s) {
		c := p.s[p.i]
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' || strings.IndexByte(stop, c) >= 0 {
			break
		}
		p.i++
	}
	return p.s[start:p.i]
}

func (p *relationParser) relation() (Relation, error) {
	r := Relation{Name: p.word(":,|([<")}
	if err := validName(r.Name); err != nil {
		return r, err
	}
	if p.i < len(p.s) && p.s[p.i] == ':' {
		p.i++
		if r.Qualifier = p.word(",|([<"); !validArch(r.Qualifier) {
			return r, fmt.Errorf("package %s: bad architecture qualifier %q", r.Name, r.Qualifier)
		}
	}
	p.space()
	if p.take('(') {
		if err := p.version(&r); err != nil {
			return r, fmt.Errorf("package %s: %w", r.Name, err)
		}
	}
	return r, p.restriction(&r)
}

func (p *relationParser) version(r *Relation) error {
	start := p.i
	for p.i < len(p.s) && strings.IndexByte("<=>", p.s[p.i]) >= 0 {
		p.i++
	}
	switch op := p.s[start:p.i]; op {
	case "<<", "<=", "=", ">=", ">>":
		r.Op = op
	case "<", ">":
		r.Op = op + "="
	default:
		return fmt.Errorf("unknown version operator %q", op)
	}
	p.space()
	r.Version = p.word(")")
	p.space()
	if err := lenientVersion(r.Version); err != nil {
		return err
	}
	if !p.take(')') {
		return fmt.Errorf("version constraint is not closed")
	}
	return nil
}

func (p *relationParser) restriction(r *Relation) error {
	start, end := p.i, p.i
	for p.i < len(p.s) && (p.s[p.i] == '[' || p.s[p.i] == '<') {
		closing := "]"
		if p.s[p.i] == '<' {
			closing = ">"
		}
		n := strings.IndexAny(p.s[p.i+1:], "[]<>,|()")
		if n < 0 || p.s[p.i+1+n] != closing[0] {
			return fmt.Errorf("package %s: restriction is not closed", r.Name)
		}
		p.i += n + 2
		end = p.i
		p.space()
	}
	r.Restriction = p.s[start:end]
	return nil
}

// validName follows dpkg's pkg_name_is_illegal: alphanumerics and "-+._",
// an alphanumeric first. Names become file names, so this is a safety check.
func validName(s string) error {
	if s == "" {
		return fmt.Errorf("package name is empty")
	}
	for i := range len(s) {
		c := s[i]
		if !isDigit(c) && !isAlpha(c) && (i == 0 || strings.IndexByte("-+._", c) < 0) {
			return fmt.Errorf("package name %q: character %q is not allowed", s, c)
		}
	}
	return nil
}

// validArch: dpkg allows alphanumerics and hyphens, an alphanumeric first.
func validArch(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isDigit(c) && !isAlpha(c) && (i == 0 || c != '-') {
			return false
		}
	}
	return s != ""
}
