package page

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Options starts a page.
type Options struct {
	Node        Node
	Credentials *Credentials
	Log         *slog.Logger
	TLSPort     int  // where plain HTTP sends readers to; 0: nowhere
	Demo        bool // says that guest/guest is the account; passwords may travel in the clear
	Now         func() time.Time
}

// Server is the page.
type Server struct {
	o        Options
	sessions sessions
	limits   limits
	streams  chan struct{} // a place for each open event stream
	origin   *http.CrossOriginProtection
	screens  []screen
	handler  http.Handler
}

// maxStreams bounds the event streams at once; further readers reload.
const maxStreams = 24

// New makes a page.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o, streams: make(chan struct{}, maxStreams), origin: http.NewCrossOriginProtection()}
	s.sessions.now, s.limits.now = o.Now, o.Now
	s.screens = screens()
	s.handler = s.routes()
	return s
}

// Serve answers on the listeners until the context ends or one fails; plain
// may be nil.
func (s *Server) Serve(ctx context.Context, plain, secure net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      time.Minute, // lifted for event streams
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(quiet{s.o.Log}, "", 0),
	}
	// No HTTP/2: it costs memory for each reader and gains nothing here.
	conf := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{s.o.Credentials.tls}, NextProtos: []string{"http/1.1"}}
	ended := make(chan error, 2)
	n := 0
	if plain != nil {
		n++
		go func() { ended <- srv.Serve(plain) }()
	}
	if secure != nil {
		n++
		go func() { ended <- srv.Serve(tls.NewListener(secure, conf)) }()
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	var err error
	for range n {
		if e := <-ended; err == nil && ctx.Err() == nil && !errors.Is(e, http.ErrServerClosed) {
			err = e
		}
		srv.Close()
	}
	return err
}

// quiet takes what net/http has to say, which is of readers' mistakes.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(p []byte) (int, error) {
	q.log.Debug("page", "says", strings.TrimSpace(string(p)))
	return len(p), nil
}

// policy is the strictest that the page works with: everything comes from
// the node, nothing stands inline, nobody frames it.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// headers are on every answer.
var headers = [][2]string{
	{"Content-Security-Policy", policy},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "same-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
	{"Cache-Control", "no-store"},
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, h := range headers {
		w.Header().Set(h[0], h[1])
	}
	if to := s.secureURL(r); to != "" {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		return
	}
	if err := s.origin.Check(r); err != nil {
		v := s.view(w, r)
		v.refuse(http.StatusForbidden, mForged)
		return
	}
	if tag := r.URL.Query().Get("lang"); tag != "" && r.Method == http.MethodGet {
		s.setLanguage(w, r, tag)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// secureURL is where a reader on plain HTTP has to go. Passwords and sessions
// do not cross a network in the clear; only on the node itself, and through
// what forwards to it there (ssh -L), is plain HTTP served.
func (s *Server) secureURL(r *http.Request) string {
	if r.TLS != nil || s.o.Demo || s.o.TLSPort == 0 || peer(r).IsLoopback() {
		return ""
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "" || strings.ContainsAny(host, "/@\\ ") {
		return ""
	}
	u := url.URL{Scheme: "https", Host: net.JoinHostPort(host, strconv.Itoa(s.o.TLSPort)), Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	return u.String()
}

func (s *Server) setLanguage(w http.ResponseWriter, r *http.Request, tag string) {
	if l, ok := languageOf(tag); ok {
		setCookie(w, r, languageCookie, languageTags[l], 365*24*3600)
	}
	q := r.URL.Query()
	q.Del("lang")
	http.Redirect(w, r, here(r.URL.Path, q), http.StatusSeeOther)
}

// here is a place on this page: "//host" is none.
func here(path string, q url.Values) string {
	path = "/" + strings.TrimLeft(path, `/\`)
	u := url.URL{Path: path, RawQuery: q.Encode()}
	return u.String()
}

// screen is one page of the page.
type screen struct {
	path  string
	title message
	admin bool // guests do not see it
	show  func(*view) part
	// act does what the form says and returns where to go then. An error
	// is shown above the form, as it was filled in.
	act func(*view) (string, error)
	// open to those who have not logged in.
	open bool
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, x := range s.screens {
		mux.HandleFunc("GET "+x.path, func(w http.ResponseWriter, r *http.Request) { s.get(s.view(w, r), x) })
		if x.act != nil {
			path := strings.TrimSuffix(x.path, "{$}")
			mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { s.post(s.view(w, r), x) })
		}
	}
	mux.HandleFunc("GET /events", s.events)
	for _, f := range static {
		mux.HandleFunc("GET "+f.path, f.serve)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.view(w, r).refuse(http.StatusNotFound, mNotFound)
	})
	return mux
}

// allowed lets those in who may see the screen; others get an answer.
func (s *Server) allowed(v *view, x screen) bool {
	switch {
	case x.open:
		return true
	case v.session == nil:
		to := "/login"
		if v.r.Method == http.MethodGet && v.r.URL.Path != "/" {
			to += "?to=" + url.QueryEscape(v.r.URL.RequestURI())
		}
		http.Redirect(v.w, v.r, to, http.StatusSeeOther)
		return false
	case x.admin && !v.admin():
		v.refuse(http.StatusForbidden, mAdminOnly)
		return false
	}
	return true
}

func (s *Server) get(v *view, x screen) {
	if s.allowed(v, x) {
		v.send(http.StatusOK, x)
	}
}

// maxForm bounds a form in bytes; an invitation has at most 1,200.
const maxForm = 64 << 10

func (s *Server) post(v *view, x screen) {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		v.refuse(http.StatusBadRequest, mBadForm)
		return
	}
	if !x.open {
		if !s.allowed(v, x) {
			return
		}
		if !v.session.valid(v.r) {
			v.refuse(http.StatusForbidden, mForged)
			return
		}
	}
	to, err := x.act(v)
	if err != nil {
		v.problem = err
		status := http.StatusUnprocessableEntity
		var p *problem
		if errors.As(err, &p) && p.status != 0 {
			status = p.status
		}
		v.send(status, x)
		return
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
}
