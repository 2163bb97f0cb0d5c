package deb

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unsafe"
)

// ParseIndex calls yield with each stanza of a Packages index, in the file's
// order, and stops at yield's first error. Packages do not share memory with
// data: each has one string of its own that its fields slice, and values that
// many packages have in common (section, maintainer and the like) are stored
// once.
//
// A stanza without name, version or architecture, with a name, version or
// architecture that dpkg would refuse (they become file names), or a line that
// is no field gives an error that names the line. Fields unknown to Package
// are skipped, comments too; of a field that occurs twice the last counts, as in apt.
func ParseIndex(data []byte, yield func(*Package) error) error {
	p := indexParser{data: data, shared: make(map[string]string, 4096)}
	for {
		pkg, err := p.next()
		if err != nil {
			return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:p.start], []byte{'\n'}), err)
		}
		if pkg == nil {
			return nil
		}
		if err := yield(pkg); err != nil {
			return err
		}
	}
}

// The fields whose text is copied for each package.
const (
	fieldName = iota
	fieldVersion
	fieldSource
	fieldPreDepends
	fieldDepends
	fieldRecommends
	fieldSuggests
	fieldEnhances
	fieldConflicts
	fieldBreaks
	fieldReplaces
	fieldProvides
	fieldFilename
	fieldSHA256
	fieldHomepage
	numFields
)

type indexParser struct {
	data   []byte
	pos    int
	start  int // of the line that an error is about
	shared map[string]string
	own    [numFields][]byte
	last   Package // the last value of each shared field
}

// share stores b in dst, as a string that all packages with the same value
// use. The value of the package before is tried first: neighbours are often
// of one source package.
func (p *indexParser) share(dst, last *string, b []byte) {
	s := *last
	if s != string(b) {
		var ok bool
		if s, ok = p.shared[string(b)]; !ok {
			s = string(b)
			p.shared[s] = s
		}
		*last = s
	}
	*dst = s
}

// next returns the next package, or nil at the end.
func (p *indexParser) next() (*Package, error) {
	var pkg *Package
	first := p.pos
	for p.pos < len(p.data) {
		p.start = p.pos
		c := p.data[p.pos]
		if c == '\n' || c == '\r' || c == ' ' || c == '\t' || c == '#' {
			blank := len(bytes.TrimSpace(p.line())) == 0
			if blank && pkg != nil {
				break
			}
			if !blank && c != '#' && pkg == nil {
				return nil, fmt.Errorf("continuation line without a field")
			}
			continue
		}
		if pkg == nil {
			pkg, first = &Package{}, p.pos
			p.own = [numFields][]byte{}
		}
		if err := p.field(pkg); err != nil {
			return nil, err
		}
	}
	if pkg == nil {
		return nil, nil
	}
	p.start = first
	p.copyOwn(pkg)
	return pkg, checkPackage(pkg)
}

// line takes one line, without its newline.
func (p *indexParser) line() []byte {
	rest := p.data[p.pos:]
	n := bytes.IndexByte(rest, '\n')
	if n < 0 {
		p.pos = len(p.data)
		return rest
	}
	p.pos += n + 1
	return rest[:n]
}

// field takes one field with its continuation lines.
func (p *indexParser) field(pkg *Package) error {
	line := p.line()
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return fmt.Errorf("not a field: %.60q", line)
	}
	value := line[colon+1:]
	if p.pos < len(p.data) && (p.data[p.pos] == ' ' || p.data[p.pos] == '\t') {
		from, to := p.start+colon+1, p.pos
		for p.pos < len(p.data) && (p.data[p.pos] == ' ' || p.data[p.pos] == '\t') {
			before := p.pos
			if len(bytes.TrimSpace(p.line())) == 0 {
				p.pos = before // a blank line ends the stanza
				break
			}
			to = p.pos
		}
		value = p.data[from:to]
	}
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	// Nearly no value has more white space than that; look before the costly trim.
	if n := len(value); n > 0 && (value[0] <= ' ' || value[n-1] <= ' ') {
		value = bytes.TrimSpace(value)
	}
	if !p.set(pkg, string(line[:colon]), value) {
		if !validFieldName(line[:colon]) {
			return fmt.Errorf("not a field: %.60q", line)
		}
		// Field names are case-insensitive, but archives write them in one way.
		if name := canonical(line[:colon]); name != "" {
			p.set(pkg, name, value)
		}
	}
	return nil
}

// set stores a field, and says whether it knows the name.
func (p *indexParser) set(pkg *Package, name string, value []byte) bool {
	switch name {
	case "Package":
		p.own[fieldName] = value
	case "Version":
		p.own[fieldVersion] = value
	case "Source":
		p.own[fieldSource] = value
	case "Pre-Depends":
		p.own[fieldPreDepends] = value
	case "Depends":
		p.own[fieldDepends] = value
	case "Recommends":
		p.own[fieldRecommends] = value
	case "Suggests":
		p.own[fieldSuggests] = value
	case "Enhances":
		p.own[fieldEnhances] = value
	case "Conflicts":
		p.own[fieldConflicts] = value
	case "Breaks":
		p.own[fieldBreaks] = value
	case "Replaces":
		p.own[fieldReplaces] = value
	case "Provides":
		p.own[fieldProvides] = value
	case "Filename":
		p.own[fieldFilename] = value
	case "SHA256":
		p.own[fieldSHA256] = value
	case "Architecture":
		p.share(&pkg.Architecture, &p.last.Architecture, value)
	case "Multi-Arch":
		p.share(&pkg.MultiArch, &p.last.MultiArch, value)
	case "Section":
		p.share(&pkg.Section, &p.last.Section, value)
	case "Priority":
		p.share(&pkg.Priority, &p.last.Priority, value)
	case "Maintainer":
		p.share(&pkg.Maintainer, &p.last.Maintainer, value)
	case "Homepage":
		p.own[fieldHomepage] = value
	case "Essential":
		pkg.Essential = string(value) == "yes"
	case "Protected", "Important":
		pkg.Protected = pkg.Protected || string(value) == "yes"
	case "Size":
		pkg.Size = number(value)
	case "Installed-Size":
		pkg.InstalledSize = number(value)
	case "MD5sum", "Description", "Description-md5", "Tag", "Built-Using", "Ghc-Package", "Ruby-Versions", "Static-Built-Using":
		// Known to be of no use, and frequent.
	default:
		return false
	}
	return true
}

// canonical returns the spelling that set knows for a field name in another
// case, or an empty string.
func canonical(name []byte) string {
	if len(name) > len("Installed-Size") {
		return ""
	}
	s := []byte(strings.ToLower(string(name)))
	if string(s) == "sha256" {
		return "SHA256"
	}
	up := true
	for i, c := range s {
		if up && 'a' <= c && c <= 'z' {
			s[i] = c - 'a' + 'A'
		}
		up = c == '-'
	}
	return string(s)
}

// number reads a count of bytes; what is no number counts as unknown, zero.
func number(b []byte) int64 {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// copyOwn puts the package's own fields into one string and slices it.
func (p *indexParser) copyOwn(pkg *Package) {
	n := 0
	for i := range p.own {
		n += len(p.own[i])
	}
	buf := make([]byte, 0, n)
	for i := range p.own {
		buf = append(buf, p.own[i]...)
	}
	// buf is never written again, so a string may look into it.
	all := unsafe.String(unsafe.SliceData(buf), len(buf))
	for i, dst := range [numFields]*string{
		&pkg.Name, &pkg.Version, &pkg.Source, &pkg.PreDepends, &pkg.Depends, &pkg.Recommends, &pkg.Suggests, &pkg.Enhances,
		&pkg.Conflicts, &pkg.Breaks, &pkg.Replaces, &pkg.Provides, &pkg.Filename, &pkg.SHA256, &pkg.Homepage,
	} {
		*dst, all = all[:len(p.own[i])], all[len(p.own[i]):]
	}
}

// checkPackage refuses what could not be installed or would make an unsafe
// file name.
func checkPackage(pkg *Package) error {
	if err := validName(pkg.Name); err != nil {
		return err
	}
	if err := lenientVersion(pkg.Version); err != nil {
		return fmt.Errorf("package %s: %w", pkg.Name, err)
	}
	if !validArch(pkg.Architecture) {
		return fmt.Errorf("package %s: bad architecture %q", pkg.Name, pkg.Architecture)
	}
	if pkg.SHA256 != "" && !validSHA256(pkg.SHA256) {
		return fmt.Errorf("package %s: bad SHA256 %q", pkg.Name, pkg.SHA256)
	}
	return nil
}

func validSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if !hexDigits[s[i]] {
			return false
		}
	}
	return true
}

// hexDigits tells lower-case hexadecimal digits: four million are looked at.
var hexDigits = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true,
}
