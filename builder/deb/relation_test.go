package deb

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseRelations(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Relations
		err  string
	}{
		{in: ""},
		{in: " \n "},
		{in: "a", want: Relations{{{Name: "a"}}}},
		{in: "a, b | c:any (>= 1:2~3-4)\n , d:i386(<<2),", want: Relations{
			{{Name: "a"}},
			{{Name: "b"}, {Name: "c", Qualifier: "any", Op: ">=", Version: "1:2~3-4"}},
			{{Name: "d", Qualifier: "i386", Op: "<<", Version: "2"}},
		}},
		{in: "a(=1),b (< 2), c (> 3)", want: Relations{
			{{Name: "a", Op: "=", Version: "1"}}, {{Name: "b", Op: "<=", Version: "2"}}, {{Name: "c", Op: ">=", Version: "3"}},
		}},
		{in: "a [linux-any !i386] <!nocheck> <x>, b <y>", want: Relations{
			{{Name: "a", Restriction: "[linux-any !i386] <!nocheck> <x>"}}, {{Name: "b", Restriction: "<y>"}},
		}},
		{in: "a (>= 1) [amd64] | b", want: Relations{{{Name: "a", Op: ">=", Version: "1", Restriction: "[amd64]"}, {Name: "b"}}}},
		{in: ", ,a,,b", want: Relations{{{Name: "a"}}, {{Name: "b"}}}},
		{in: "a b", err: "want a comma or a bar"},
		{in: "a |", err: "name is empty"},
		{in: "| a", err: "name is empty"},
		{in: "a (1)", err: "unknown version operator"},
		{in: "a (>= )", err: "version is empty"},
		{in: "a (>= 1", err: "not closed"},
		{in: "a (>= 1_2)", err: "not allowed"},
		{in: "a (=> 1)", err: "unknown version operator"},
		{in: "a: b", err: "bad architecture qualifier"},
		{in: "../a", err: "not allowed"},
		{in: "a [amd64", err: "not closed"},
		{in: "a (>= 1) (<< 2)", err: "want a comma"},
	} {
		got, err := ParseRelations(c.in)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("ParseRelations(%q): error %v, want %q", c.in, err, c.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("ParseRelations(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestSatisfiedBy(t *testing.T) {
	for op, want := range map[string]string{"<<": "1", "<=": "1 2", "=": "2", ">=": "2 3", ">>": "3", "": "1 2 3", "?": ""} {
		var ok []string
		for _, v := range []string{"1", "2", "3"} {
			if (Relation{Op: op, Version: "2"}).SatisfiedBy(v) {
				ok = append(ok, v)
			}
		}
		if got := strings.Join(ok, " "); got != want {
			t.Errorf("(%s 2) is satisfied by %q, want %q", op, got, want)
		}
	}
}

func FuzzRelations(f *testing.F) {
	f.Add("a, b | c:any (>= 1:2~3-4), d [amd64 !i386] <!x>")
	f.Fuzz(func(t *testing.T, in string) {
		rs, err := ParseRelations(in)
		if err != nil {
			return
		}
		again, err := ParseRelations(rs.String())
		// White space within a restriction stays as it was, all else is equal.
		if err != nil || again.String() != rs.String() {
			t.Fatalf("%q is written as %q, which reads as %q, %v", in, rs, again, err)
		}
	})
}
