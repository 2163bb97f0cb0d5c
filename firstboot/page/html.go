package page

import (
	"bytes"
	"net/url"
	"strings"
)

// A page is built out of parts, and whatever is said in one is escaped when
// it is written: there is no part that holds markup. html/template would do
// the same, but it calls methods by name, and a linker that must keep every
// method makes the agent's binary a third larger.
type part interface{ write(*bytes.Buffer) }

// text is what a reader reads.
type text string

var escapeText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\x00", "\uFFFD")

func (t text) write(b *bytes.Buffer) { escapeText.WriteString(b, string(t)) }

// name is an attribute's, or a tag with the attributes that never change:
// `p class=\"hint\"`. Constants convert to it by themselves and variables do not,
// so none of it ever comes from outside.
type name string

// attr is an attribute of the element that it is in.
type attr struct {
	name  name
	value string
}

var escapeAttr = strings.NewReplacer("&", "&amp;", `"`, "&#34;", "'", "&#39;", "<", "&lt;", ">", "&gt;", "\x00", "\uFFFD")

func (a attr) write(b *bytes.Buffer) {
	value := a.value
	switch a.name {
	case "href", "action", "src", "formaction":
		value = safeURL(value)
	}
	b.WriteByte(' ')
	b.WriteString(string(a.name))
	b.WriteString(`="`)
	escapeAttr.WriteString(b, value)
	b.WriteByte('"')
}

// safeURL lets through places on this node and those of schemes that run
// nothing; what a member of the mesh announces ends up here.
func safeURL(s string) string {
	if s == "" || strings.HasPrefix(s, "#") || strings.HasPrefix(s, "?") || (strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.HasPrefix(s, `/\`)) {
		return s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "#"
	}
	switch u.Scheme {
	case "http", "https", "ftp", "rtsp", "webdav", "webdavs", "sip", "ssh":
		return s
	}
	return "#"
}

// flag is an attribute without a value, there when on.
type flag struct {
	name name
	on   bool
}

func (f flag) write(b *bytes.Buffer) {
	if f.on {
		b.WriteByte(' ')
		b.WriteString(string(f.name))
	}
}

// element is a tag with what is in it.
type element struct {
	tag   name
	parts []part
}

func el(tag name, parts ...part) part { return element{tag, parts} }

// void are the elements without an end (HTML, section 13.1.2).
var void = map[string]bool{"br": true, "hr": true, "img": true, "input": true, "link": true, "meta": true}

func (e element) write(b *bytes.Buffer) {
	b.WriteByte('<')
	b.WriteString(string(e.tag))
	attributes(b, e.parts)
	b.WriteByte('>')
	tag, _, _ := strings.Cut(string(e.tag), " ")
	if void[tag] {
		return
	}
	content(b, e.parts)
	b.WriteString("</")
	b.WriteString(tag)
	b.WriteByte('>')
}

func attributes(b *bytes.Buffer, parts []part) {
	for _, p := range parts {
		switch p := p.(type) {
		case attr, flag:
			p.write(b)
		case attrs:
			for _, x := range p {
				x.write(b)
			}
		}
	}
}

func content(b *bytes.Buffer, parts []part) {
	for _, p := range parts {
		switch p := p.(type) {
		case nil, attr, flag, attrs:
		default:
			p.write(b)
		}
	}
}

// attrs are several attributes at once.
type attrs []attr

func (a attrs) write(b *bytes.Buffer) {
	for _, x := range a {
		x.write(b)
	}
}

// group is several parts in a row.
type group []part

func (g group) write(b *bytes.Buffer) { content(b, g) }

// when is the parts if ok, and nothing if not.
func when(ok bool, parts ...part) part {
	if !ok {
		return nil
	}
	return group(parts)
}

func class(s string) part { return attr{"class", s} }
func id(s string) part    { return attr{"id", s} }
func href(s string) part  { return attr{"href", s} }

func render(p part) []byte {
	var b bytes.Buffer
	if p != nil {
		p.write(&b)
	}
	return b.Bytes()
}
