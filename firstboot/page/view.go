package page

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// view is one request.
type view struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	lang    lang
	session *session
	problem error
	facts   Facts
	lives   []live
}

func (s *Server) view(w http.ResponseWriter, r *http.Request) *view {
	v := &view{s: s, w: w, r: r, lang: preferred(r), facts: s.o.Node.Facts()}
	if t := sessionToken(r); t != "" {
		v.session = s.sessions.get(t, r.URL.Path != "/events")
	}
	return v
}

//go:noinline
func (v *view) admin() bool { return v.session != nil && v.session.account == Admin }

//go:noinline
func (v *view) node() Node { return v.s.o.Node }

// form returns a field as it was sent, for a form that is shown again.
func (v *view) form(field string) string { return strings.TrimSpace(v.r.PostForm.Get(field)) }

// say is a message as a part, sayf one with its numbers and names.
//
//go:noinline
func (v *view) say(m message) part { return text(m[v.lang]) }

//go:noinline
func (v *view) sayf(m message, args ...any) part { return text(v.lang.sayf(m, args...)) }

// notice is what is said once, after something was done.
type notice struct {
	message message
	args    []any
}

// tell leaves a notice for the next page.
//
//go:noinline
func (v *view) tell(m message, args ...any) {
	v.s.sessions.with(v.session, func(x *session) { x.notice = &notice{m, args} })
}

// problem is a mistake or a failure in words of the page.
type problem struct {
	message message
	args    []any
	status  int
}

func (p *problem) Error() string { return english.sayf(p.message, p.args...) }

//go:noinline
func fault(m message, args ...any) error { return &problem{message: m, args: args} }

func (v *view) send(status int, x screen) {
	body := "<!doctype html>" + string(v.document(x))
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", languageTags[v.lang])
	h.Set("Vary", "Cookie, Accept-Language")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	v.w.WriteHeader(status)
	io.WriteString(v.w, body)
}

// refuse answers with a page that says no.
func (v *view) refuse(status int, why message) {
	v.send(status, screen{title: mRefusedTitle, show: func(v *view) part {
		return group(v.heading(v.say(mRefusedTitle), ""), el(`p class="lead"`, v.say(why)), el("p", el(`a class="button" href="/"`, v.say(mBackHome))))
	}})
}
