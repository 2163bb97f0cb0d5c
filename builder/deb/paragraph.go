package deb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxParagraph bounds the memory of one paragraph; the largest of Debian's
// archive (the Release file) is about 200 KiB.
const maxParagraph = 32 << 20

// Field is one field of a paragraph. Value holds the text after the colon
// without white space around; further lines of a folded field follow after a
// newline and keep their leading white space, so "Name: Value" writes the
// field back.
type Field struct{ Name, Value string }

// Paragraph is one stanza of a deb822 file, its fields in the file's order.
type Paragraph struct{ Fields []Field }

// Get returns the value of a field, whose name is compared without regard to
// case, or an empty string.
func (p *Paragraph) Get(name string) string {
	for i := range p.Fields {
		if strings.EqualFold(p.Fields[i].Name, name) {
			return p.Fields[i].Value
		}
	}
	return ""
}

// Has says whether the paragraph has the field, be it empty.
func (p *Paragraph) Has(name string) bool {
	for i := range p.Fields {
		if strings.EqualFold(p.Fields[i].Name, name) {
			return true
		}
	}
	return false
}

// String writes the paragraph in deb822 form, without an empty line after it.
func (p *Paragraph) String() string {
	var b strings.Builder
	for _, f := range p.Fields {
		b.WriteString(f.Name)
		b.WriteByte(':')
		if f.Value != "" && f.Value[0] != '\n' {
			b.WriteByte(' ')
		}
		b.WriteString(f.Value)
		b.WriteByte('\n')
	}
	return b.String()
}

// ParagraphReader reads deb822 paragraphs one after the other.
type ParagraphReader struct {
	r    *bufio.Reader
	line int
	long []byte // a line longer than r's buffer
	err  error
}

// NewParagraphReader reads paragraphs from r: control files, status files,
// Release files (without their signature), .sources files.
func NewParagraphReader(r io.Reader) *ParagraphReader {
	return &ParagraphReader{r: bufio.NewReaderSize(r, 32<<10)}
}

// Next returns the next paragraph, io.EOF after the last one, or an error that
// names the line. Comment lines are skipped; a field that occurs twice, and a
// line that is no field, are errors. After an error every call returns it.
func (pr *ParagraphReader) Next() (*Paragraph, error) {
	if pr.err != nil {
		return nil, pr.err
	}
	p, err := pr.next()
	if err != nil {
		pr.err = err
		return nil, err
	}
	return p, nil
}

func (pr *ParagraphReader) next() (*Paragraph, error) {
	p := &Paragraph{}
	var value []byte // of the last field, while it may go on
	size := 0
	flush := func() {
		if n := len(p.Fields); n > 0 {
			p.Fields[n-1].Value = string(value)
		}
	}
	for {
		line, err := pr.readLine()
		if err == io.EOF {
			if len(p.Fields) == 0 {
				return nil, io.EOF
			}
			flush()
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		if size += len(line) + 1; size > maxParagraph {
			return nil, fmt.Errorf("line %d: paragraph is larger than %d MiB", pr.line, maxParagraph>>20)
		}
		line = bytes.TrimRight(line, " \t\r")
		switch {
		case len(line) == 0:
			if len(p.Fields) == 0 {
				continue
			}
			flush()
			return p, nil
		case line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if len(p.Fields) == 0 {
				return nil, fmt.Errorf("line %d: continuation line without a field", pr.line)
			}
			value = append(append(value, '\n'), line...)
		default:
			name, rest, ok := bytes.Cut(line, []byte{':'})
			if !ok || !validFieldName(name) {
				return nil, fmt.Errorf("line %d: not a field: %.60q", pr.line, line)
			}
			if p.Has(string(name)) {
				return nil, fmt.Errorf("line %d: field %s occurs twice", pr.line, name)
			}
			flush()
			p.Fields = append(p.Fields, Field{Name: string(name)})
			value = append(value[:0], bytes.TrimLeft(rest, " \t")...)
		}
	}
}

// readLine returns the next line without its newline, valid until the next call.
func (pr *ParagraphReader) readLine() ([]byte, error) {
	pr.line++
	line, err := pr.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		pr.long = append(pr.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) && len(pr.long) <= maxParagraph {
			line, err = pr.r.ReadSlice('\n')
			pr.long = append(pr.long, line...)
		}
		line = pr.long
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	return bytes.TrimSuffix(line, []byte{'\n'}), nil
}

// validFieldName follows Policy 5.1: printable ASCII but colon, not starting
// with '#' or '-'.
func validFieldName(name []byte) bool {
	if len(name) == 0 || name[0] == '#' || name[0] == '-' {
		return false
	}
	for _, c := range name {
		if c < 33 || c > 126 {
			return false
		}
	}
	return true
}
