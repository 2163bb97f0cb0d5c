package deb

import (
	"io"
	"reflect"
	"strings"
	"testing"
)

func readParagraphs(s string) ([]*Paragraph, error) {
	var ps []*Paragraph
	for r := NewParagraphReader(strings.NewReader(s)); ; {
		p, err := r.Next()
		if err == io.EOF {
			return ps, nil
		}
		if err != nil {
			return ps, err
		}
		ps = append(ps, p)
	}
}

func TestParagraphReader(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	for _, c := range []struct {
		name, in string
		want     []Paragraph
		err      string
	}{
		{name: "empty", in: ""},
		{name: "blank lines", in: "\n \n\t\n\n"},
		{name: "two", in: "A: 1\nB:2\n\n\nC:  3  \n", want: []Paragraph{{[]Field{{"A", "1"}, {"B", "2"}}}, {[]Field{{"C", "3"}}}}},
		{name: "no last newline", in: "A: 1", want: []Paragraph{{[]Field{{"A", "1"}}}}},
		{name: "folded", in: "D: short\n long\n .\n\tmore\nE:\n x\n", want: []Paragraph{{[]Field{{"D", "short\n long\n .\n\tmore"}, {"E", "\n x"}}}}},
		{name: "comments", in: "# a\nA: 1\n# b\n 2\n# c\n", want: []Paragraph{{[]Field{{"A", "1\n 2"}}}}},
		{name: "crlf", in: "A: 1\r\nB: 2\r\n\r\nC: 3\r\n", want: []Paragraph{{[]Field{{"A", "1"}, {"B", "2"}}}, {[]Field{{"C", "3"}}}}},
		{name: "white line separates", in: "A: 1\n  \nB: 2\n", want: []Paragraph{{[]Field{{"A", "1"}}}, {[]Field{{"B", "2"}}}}},
		{name: "long line", in: "A: " + long + "\n", want: []Paragraph{{[]Field{{"A", long}}}}},
		{name: "no colon", in: "A: 1\nnonsense\n", err: `line 2: not a field: "nonsense"`},
		{name: "space in name", in: "A b: 1\n", err: "line 1: not a field"},
		{name: "no name", in: ": 1\n", err: "line 1: not a field"},
		{name: "continuation first", in: "\n x\n", err: "line 2: continuation line without a field"},
		{name: "twice", in: "A: 1\na: 2\n", err: "line 2: field a occurs twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readParagraphs(c.in)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d paragraphs, want %d", len(got), len(c.want))
			}
			for i := range got {
				if !reflect.DeepEqual(*got[i], c.want[i]) {
					t.Errorf("paragraph %d is %q, want %q", i, got[i].Fields, c.want[i].Fields)
				}
			}
		})
	}
}

func TestParagraphGet(t *testing.T) {
	p := Paragraph{[]Field{{"Package", "a"}, {"Empty", ""}}}
	if p.Get("package") != "a" || p.Get("none") != "" || !p.Has("EMPTY") || p.Has("none") {
		t.Errorf("wrong answers of %v", p)
	}
}

// FuzzParagraph checks that what was read is written and read back the same.
func FuzzParagraph(f *testing.F) {
	f.Add("Package: a\nDescription: b\n c\n .\n\n# x\nPackage: d\nE:\n f\n")
	f.Fuzz(func(t *testing.T, in string) {
		ps, err := readParagraphs(in)
		if err != nil {
			return
		}
		var b strings.Builder
		for _, p := range ps {
			b.WriteString(p.String() + "\n")
		}
		again, err := readParagraphs(b.String())
		if err != nil {
			t.Fatalf("read back %q: %v", b.String(), err)
		}
		if !reflect.DeepEqual(ps, again) {
			t.Fatalf("%q read back differs", b.String())
		}
	})
}
