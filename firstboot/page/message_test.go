package page

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
)

// messages finds every message of the package in its source, with the name
// of the variable that it is or belongs to.
func messages(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			ast.Inspect(spec.Values[0], func(n ast.Node) bool {
				lit, ok := n.(*ast.CompositeLit)
				if !ok {
					return true
				}
				if id, ok := lit.Type.(*ast.Ident); !ok || id.Name != "words" {
					return true
				}
				var list []string
				for _, e := range lit.Elts {
					b, ok := e.(*ast.BasicLit)
					if !ok {
						continue
					}
					s, err := strconv.Unquote(b.Value)
					if err != nil {
						t.Fatal(err)
					}
					list = append(list, s)
				}
				name := spec.Names[0].Name
				for out[name] != nil {
					name += "+"
				}
				out[name] = list
				return false
			})
			return true
		})
	}
	return out
}

var verbs = regexp.MustCompile(`%[^%]`)

// TestEveryMessageInEveryLanguage fails when a text lacks a language, or says
// something else of its numbers there.
func TestEveryMessageInEveryLanguage(t *testing.T) {
	all := messages(t)
	if len(all) < 250 {
		t.Fatalf("only %d messages found: the test looks in the wrong place", len(all))
	}
	for name, list := range all {
		if len(list) != int(languages) {
			t.Errorf("%s: %d languages", name, len(list))
			continue
		}
		for l, s := range list {
			if strings.TrimSpace(s) == "" {
				t.Errorf("%s lacks %s", name, languageNames[l])
			}
			if !slices.Equal(verbs.FindAllString(s, -1), verbs.FindAllString(list[0], -1)) {
				t.Errorf("%s: %q fits not %q", name, s, list[0])
			}
			end := func(s string) bool {
				return strings.HasSuffix(s, ".") || strings.HasSuffix(s, "”") || strings.HasSuffix(s, "»")
			}
			if l > 0 && end(s) != end(list[0]) && !unicode.IsPunct(rune(s[len(s)-1])) {
				t.Errorf("%s: %q and %q do not end alike", name, s, list[0])
			}
		}
		// Sentences are not the same in two languages: one was forgotten.
		if strings.Count(list[0], " ") > 2 && !strings.Contains(list[0], "·") && (list[0] == list[1] || list[0] == list[2] || list[1] == list[2]) {
			t.Errorf("%s is not translated: %q", name, list)
		}
	}
}

// TestNothingUntranslated: what stands on the pages in Catalan is nowhere in
// English, but what the agent says itself, which is marked.
func TestNothingUntranslated(t *testing.T) {
	english := map[string]bool{}
	for _, list := range messages(t) {
		if len(list) == 3 && strings.Count(list[0], " ") > 1 && list[0] != list[1] {
			english[list[0]] = true
		}
	}
	s := serve(t, citizen(14), nil)
	c := s.client(Admin)
	c.get("/?lang=ca")
	for _, x := range screens() {
		r := c.get(strings.TrimSuffix(x.path, "{$}"))
		if r.status == 200 && !strings.Contains(r.body, `<html lang="ca"`) {
			t.Errorf("%s is not in Catalan", x.path)
		}
		if got := r.header.Get("Content-Language"); r.status == 200 && got != "ca" {
			t.Errorf("%s: Content-Language %q", x.path, got)
		}
		for sentence := range english {
			if !strings.Contains(sentence, "%") && strings.Contains(r.body, ">"+string(text(sentence))+"<") {
				t.Errorf("%s says %q", x.path, sentence)
			}
		}
	}
}

func TestPreferred(t *testing.T) {
	for header, want := range map[string]lang{
		"": english, "ca": catalan, "es-AR,es;q=0.9": spanish, "fr,ca;q=0.4,es;q=0.7": spanish, "de": english, "ca-valencia;q=1.0, en;q=0.9": catalan,
		"es;q=x,ca": catalan, "en;q=0.5, ca;q=0.5": english, "*": english, "es;q=0": english, ";;;,,,": english,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", header)
		if got := preferred(r); got != want {
			t.Errorf("%q: %s", header, languageNames[got])
		}
		r.Header.Set("Cookie", languageCookie+"=es")
		if got := preferred(r); got != spanish {
			t.Errorf("%q, and Spanish was chosen: %s", header, languageNames[got])
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, x := range []struct{ got, want string }{
		{english.size(0), "0\u00a0B"}, {english.size(999), "999\u00a0B"}, {english.size(1500), "1.5\u00a0kB"}, {catalan.size(1500), "1,5\u00a0kB"},
		{english.size(999_600), "1.0\u00a0MB"}, {english.size(268435456), "268\u00a0MB"}, {english.size(3 << 50), "3378\u00a0TB"},
		{english.duration(59 * time.Second), "59 s"}, {english.duration(61 * time.Second), "1 min"}, {english.duration(25 * time.Hour), "1 day 1 h"},
		{catalan.duration(49*time.Hour + time.Minute), "2 dies 1 h"}, {spanish.duration(24 * time.Hour), "1 día"}, {english.duration(2 * time.Hour), "2 h"}, {english.duration(-5), "0 s"},
		{english.latency(Latency{1234 * time.Microsecond, false}), "1.2\u00a0ms"}, {spanish.latency(Latency{1234 * time.Microsecond, true}), "≈\u00a01,2\u00a0ms"},
		{english.latency(Latency{87 * time.Millisecond, false}), "87\u00a0ms"}, {english.latency(Latency{}), ""},
		{fmt.Sprint(english.count(mFoundCount, 1), catalan.count(mFoundCount, 2)), "1 service2 serveis"},
	} {
		if x.got != x.want {
			t.Errorf("got %q, want %q", x.got, x.want)
		}
	}
}

func TestLanguageSwitch(t *testing.T) {
	s := serve(t, citizen(5), nil)
	c := s.stranger()
	r := c.get("/login?lang=es")
	if r.status != 303 || r.to != "/login" {
		t.Fatalf("%d, %q", r.status, r.to)
	}
	if r := c.get("/login"); !strings.Contains(r.body, mLoginDo[spanish]) {
		t.Error("the login is not in Spanish")
	}
	if r := c.get("/login?lang=xx"); r.status != 303 {
		t.Errorf("%d", r.status)
	}
	if r := c.get("/login"); !strings.Contains(r.body, mLoginDo[spanish]) {
		t.Error("a language that there is not was taken")
	}
	// The choice leads to the same place on this page, and nowhere else.
	if r := s.client(Guest).get("/services?type=_http._tcp&lang=ca"); r.to != "/services?type=_http._tcp" {
		t.Errorf("%q", r.to)
	}
	if r := from(s.server, "GET", "//evil.example/?lang=ca", "127.0.0.1:1"); strings.HasPrefix(r.Header.Get("Location"), "//") {
		t.Errorf("%q", r.Header.Get("Location"))
	}
}
