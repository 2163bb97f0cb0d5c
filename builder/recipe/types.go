package recipe

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Type is the type of an attribute: its name for people, whether it is a
// list or a map, and how one value of it is read.
type Type struct {
	Name string
	Enum []string // the only values, where there are few

	shape shape
	ref   string // kind of block that is referred to
	// expr is for attributes that the generic decoder leaves alone.
	expr bool
	// parse turns one element into its Go value, or says what is wrong with
	// it in a clause that fits after the attribute's name and a colon.
	parse func(cty.Value) (any, error)
	// file marks names of files in the recipe folder.
	file bool
	// overlay marks names of overlays.
	overlay bool
}

type shape int

const (
	single shape = iota
	list
	mapping
)

// plain is the name without the marks of the reference.
func (t *Type) plain() string { return strings.ReplaceAll(t.Name, "`", "") }

func listOf(t *Type) *Type {
	l := *t
	l.shape = list
	l.Name = "list of " + plural(t.Name)
	return &l
}

func mapOf(t *Type) *Type {
	m := *t
	m.shape = mapping
	m.Name = "map of " + plural(t.Name)
	return &m
}

func plural(s string) string {
	if s == "text" || strings.HasPrefix(s, "one of") || strings.HasSuffix(s, "s") {
		return s
	}
	noun, rest := s, ""
	for _, preposition := range []string{" with ", " of ", " to ", " or "} {
		if head, tail, ok := strings.Cut(s, preposition); ok {
			noun, rest = head, preposition+tail
			break
		}
	}
	if strings.HasSuffix(noun, "y") {
		return noun[:len(noun)-1] + "ies" + rest
	}
	return noun + "s" + rest
}

// text reads a string. A number becomes its digits; true and false do not,
// because they are hardly ever meant as text.
func text(v cty.Value) (string, error) {
	switch v.Type() {
	case cty.String:
		return v.AsString(), nil
	case cty.Number:
		s, err := convert.Convert(v, cty.String)
		if err != nil {
			return "", err
		}
		return s.AsString(), nil
	}
	return "", fmt.Errorf("need text, not %s", describe(v))
}

// describe names the type of a value for a person.
func describe(v cty.Value) string {
	ty := v.Type()
	switch {
	case v.IsNull():
		return "null"
	case ty == cty.String:
		return "text"
	case ty == cty.Number:
		return "a number"
	case ty == cty.Bool:
		return "true or false"
	case ty.IsTupleType() || ty.IsListType() || ty.IsSetType():
		return "a list"
	case ty.IsObjectType() || ty.IsMapType():
		return "a map"
	case ty.IsCapsuleType():
		return "a reference to " + article(ty.FriendlyName())
	}
	return ty.FriendlyName()
}

func checked(name string, check func(string) error) *Type {
	return &Type{Name: name, parse: func(v cty.Value) (any, error) {
		s, err := text(v)
		if err != nil {
			return nil, err
		}
		return s, check(s)
	}}
}

func oneOf(values ...string) *Type {
	t := checked("one of `"+strings.Join(values, "`, `")+"`", func(s string) error {
		if slices.Contains(values, s) {
			return nil
		}
		if best := Nearest(s, values); best != "" {
			return fmt.Errorf("%q is not known; did you mean %q?", s, best)
		}
		return fmt.Errorf("%q is not known; it is one of %s", s, strings.Join(values, ", "))
	})
	t.Enum = values
	return t
}

func intType(low, high int64) *Type {
	name := "whole number"
	return &Type{Name: name, parse: func(v cty.Value) (any, error) {
		if v.Type() != cty.Number {
			return nil, fmt.Errorf("need a number, not %s", describe(v))
		}
		n, accuracy := v.AsBigFloat().Int64()
		if accuracy != big.Exact || n < low || n > high {
			return nil, fmt.Errorf("need a whole number from %d to %d", low, high)
		}
		return n, nil
	}}
}

func refType(kind string) *Type {
	return &Type{Name: "reference to " + article(kind), ref: kind, parse: func(v cty.Value) (any, error) {
		if v.Type().Equals(refTypes[kind]) {
			return v.EncapsulatedValue().(*reference).name, nil
		}
		if v.Type() == cty.String {
			return v.AsString(), nil
		}
		return nil, fmt.Errorf("need %s such as %s.NAME, not %s", article(kind), kind, describe(v))
	}}
}

func article(noun string) string {
	if strings.ContainsRune("aeio", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// parseSize reads "8GiB", "512M" or a number of bytes. K, M, G and T are
// powers of 1024, as are KiB and so on; KB, MB, GB and TB are powers of 1000.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMGTiB")
	unit := s[len(digits):]
	factors := map[string]float64{
		"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
		"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	}
	n, err := strconv.ParseFloat(digits, 64)
	factor, ok := factors[unit]
	if err != nil || !ok || strings.ContainsAny(digits, "eExXpP_+-nN") {
		return 0, fmt.Errorf("%q is no size; write it as \"8GiB\" or \"512MiB\"", s)
	}
	bytes := math.Round(n * factor)
	if bytes <= 0 || bytes > 1<<60 {
		return 0, fmt.Errorf("%q is out of range for a size", s)
	}
	return int64(bytes), nil
}

// parseMode reads permission bits in octal.
func parseMode(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o7777 {
		return 0, fmt.Errorf("%q is no mode; write it in octal, as \"0644\"", s)
	}
	return uint32(n), nil
}

// The table below holds the types that need no parameters.
var (
	typeExpr   = &Type{Name: "type", expr: true}
	rawExpr    = &Type{Name: "expression", expr: true}
	anyType    = &Type{Name: "any value", expr: true}
	stringType = checked("text", func(string) error { return nil })
	boolType   = &Type{Name: "`true` or `false`", Enum: []string{"true", "false"}, parse: func(v cty.Value) (any, error) {
		if v.Type() != cty.Bool {
			return nil, fmt.Errorf("need true or false, not %s", describe(v))
		}
		return v.True(), nil
	}}
	sizeType = &Type{Name: "size", parse: func(v cty.Value) (any, error) {
		s, err := text(v)
		if err != nil {
			return nil, err
		}
		return parseSize(s)
	}}
	diskSizeType = &Type{Name: "size", parse: func(v cty.Value) (any, error) {
		n, err := sizeType.parse(v)
		if err == nil && n.(int64)%(1<<20) != 0 {
			return nil, errors.New("need whole MiB; a disk is divided into them")
		}
		return n, err
	}}
	modeType = &Type{Name: "octal mode", parse: func(v cty.Value) (any, error) {
		s, err := text(v)
		if err != nil {
			return nil, err
		}
		return parseMode(s)
	}}
	durationType = &Type{Name: "duration", parse: func(v cty.Value) (any, error) {
		s, err := text(v)
		if err != nil {
			return nil, err
		}
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("%q is no duration; write it as \"90s\" or \"10m\"", s)
		}
		return d, nil
	}}
	growType = &Type{Name: "`true`, `false` or a size", parse: func(v cty.Value) (any, error) {
		if v.Type() == cty.Bool {
			return Grow{Enabled: v.True()}, nil
		}
		s, err := text(v)
		if err != nil {
			return nil, fmt.Errorf("need true, false or a size, not %s", describe(v))
		}
		n, err := parseSize(s)
		return Grow{Enabled: true, Limit: n}, err
	}}
	packageItemType = &Type{Name: "package", parse: func(v cty.Value) (any, error) {
		s, err := text(v)
		if err != nil {
			return nil, err
		}
		return parsePackage(s)
	}}
	packageType = &Type{Name: "package", parse: func(v cty.Value) (any, error) {
		s, err := text(v)
		if err != nil {
			return nil, err
		}
		p, err := parsePackage(s)
		if err == nil && p.drop {
			return nil, fmt.Errorf("%q: packages can be dropped in an image only", s)
		}
		return p, err
	}}
	sourceFileType  = &Type{Name: "file of the recipe folder", file: true, parse: checked("", relativePath).parse}
	overlayNameType = &Type{Name: "overlay", overlay: true, parse: checked("", overlayLabel).parse}

	wordType           = checked("word", word)
	archType           = checked("architecture", architecture)
	urlType            = checked("URL", absoluteURL)
	suiteType          = checked("suite", suite)
	fingerprintType    = checked("fingerprint", fingerprint)
	packageGlobType    = checked("package glob", packageGlob)
	unitType           = checked("systemd unit", unit)
	userNameType       = checked("name or number", userOrNumber)
	gecosType          = checked("text", gecos)
	pathType           = checked("absolute path", absolutePath)
	globType           = checked("absolute path with `*`", absoluteGlob)
	excludeType        = checked("path with `*`", excludeGlob)
	hostnameType       = checked("host name", hostname)
	localeType         = checked("locale", locale)
	timezoneType       = checked("time zone", timezone)
	passwordHashType   = checked("crypt hash", passwordHash)
	sshKeyType         = checked("SSH public key", sshKey)
	kernelArgumentType = checked("kernel argument", kernelArgument)
	serviceTypeType    = checked("DNS-SD type", serviceType)
	networkType        = checked("name of a network", network)
	invitationType     = checked("invitation", invitation)
	prefix4Type        = checked("IPv4 prefix", prefix4)
	interfaceType      = checked("interface name", interfaceName)
	addressType        = checked("IP address", address)
)
