package page

import (
	"net/url"
	"strings"
)

// part is a piece of a page: markup in which everything that somebody says is
// escaped. Only this file makes parts out of strings; constants become parts
// by themselves, and variables do not.
//
// html/template would escape as well, but it calls methods by name, and a
// linker that must keep every method makes the agent a third larger.
type part string

// mark begins an attribute, which goes into the tag of the element that it is
// given to. No text has it.
const mark = "\x00"

var escapes = strings.NewReplacer("&", "&amp;", `"`, "&#34;", "'", "&#39;", "<", "&lt;", ">", "&gt;", "\r", "&#13;", mark, "\uFFFD")

// text is what a reader reads.
//
//go:noinline
func text(s string) part { return part(escapes.Replace(s)) }

// name is an attribute's, or a tag with the attributes that never change:
// `p class="hint"`. As with parts, only constants become names.
type name string

// attr is an attribute of the element that it is given to.
//
//go:noinline
func attr(n name, value string) part {
	switch n {
	case "href", "action", "src", "formaction":
		value = safeURL(value)
	}
	return part(mark + " " + string(n) + `="` + escapes.Replace(value) + `"`)
}

// flag is an attribute without a value, there when on.
//
//go:noinline
func flag(n name, on bool) part {
	if !on {
		return ""
	}
	return part(mark + " " + string(n))
}

//go:noinline
func class(s string) part { return attr("class", s) }

//go:noinline
func id(s string) part { return attr("id", s) }

//go:noinline
func href(s string) part { return attr("href", s) }

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

// void are the elements without an end (HTML, section 13.1.2).
var void = map[string]bool{"br": true, "hr": true, "img": true, "input": true, "link": true, "meta": true}

// el is an element: its attributes and what is in it. It is not inlined, like
// the other small functions here: there are some hundred calls of them, and a
// small board's flash is small too.
//
//go:noinline
func el(tag name, parts ...part) part {
	n := 2*len(tag) + 5
	for _, p := range parts {
		n += len(p)
	}
	var b strings.Builder
	b.Grow(n)
	b.WriteByte('<')
	b.WriteString(string(tag))
	for _, p := range parts {
		if strings.HasPrefix(string(p), mark) {
			b.WriteString(strings.ReplaceAll(string(p), mark, ""))
		}
	}
	b.WriteByte('>')
	end, _, _ := strings.Cut(string(tag), " ")
	if void[end] {
		return part(b.String())
	}
	for _, p := range parts {
		if !strings.HasPrefix(string(p), mark) {
			b.WriteString(string(p))
		}
	}
	b.WriteString("</")
	b.WriteString(end)
	b.WriteByte('>')
	return part(b.String())
}

// group is several parts in a row.
//
//go:noinline
func group(parts ...part) part {
	var b pile
	b.add(parts...)
	return b.part()
}

// when is the parts if ok, and nothing if not.
//
//go:noinline
func when(ok bool, parts ...part) part {
	if !ok {
		return ""
	}
	return group(parts...)
}

// pile is a row of parts that grows.
type pile struct{ b strings.Builder }

//go:noinline
func (l *pile) add(parts ...part) {
	for _, p := range parts {
		l.b.WriteString(string(p))
	}
}

//go:noinline
func (l *pile) part() part { return part(l.b.String()) }
