package page

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// live is a part of a screen that is kept current.
type live struct {
	id   string
	part part
}

// livePace is how often a part is looked at, and liveBeat how often a stream
// says that it is there when nothing changes.
const (
	livePace = time.Second
	liveBeat = 15 * time.Second
)

// live marks a part as one that is kept current: its content, not the element
// around it, so that a reader's place in the page stays.
//
//go:noinline
func (v *view) live(key string, p part) part {
	v.lives = append(v.lives, live{key, p})
	return p
}

// events streams the live parts of the screen that the reader has open, as
// server-sent events (HTML, section 9.2): the id of the part in the first
// line, its content in those behind it.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	v := s.view(w, r)
	if v.session == nil {
		http.Error(w, "not logged in", http.StatusForbidden)
		return
	}
	at, err := url.Parse(r.URL.Query().Get("at"))
	if err != nil {
		http.Error(w, "bad place", http.StatusBadRequest)
		return
	}
	x, ok := s.screenAt(at.Path)
	if !ok || (x.admin && !v.admin()) {
		http.Error(w, "nothing there", http.StatusNotFound)
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "30")
		http.Error(w, "too many readers", http.StatusServiceUnavailable)
		return
	}
	out := http.NewResponseController(w)
	out.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	sent := map[string][sha256.Size]byte{}
	token := sessionToken(r)
	said := time.Now()
	for first := true; ; first = false {
		var b bytes.Buffer
		if first {
			b.WriteString("retry: 3000\n\n")
		} else if s.sessions.get(token, false) == nil {
			b.WriteString("event: over\ndata:\n\n")
		}
		over := b.Len() > 0 && !first
		now := *v
		now.r = r.WithContext(r.Context())
		now.r.URL, now.lives, now.facts = at, nil, s.o.Node.Facts()
		if !over {
			x.show(&now)
		}
		for _, l := range now.lives {
			html := string(l.part)
			sum := sha256.Sum256([]byte(html))
			if old, ok := sent[l.id]; ok && old == sum {
				continue
			}
			sent[l.id] = sum
			fmt.Fprintf(&b, "event: part\ndata: %s\n", l.id)
			for line := range strings.Lines(html) {
				fmt.Fprintf(&b, "data: %s\n", strings.TrimSuffix(line, "\n"))
			}
			b.WriteByte('\n')
		}
		if b.Len() == 0 && time.Since(said) > liveBeat {
			b.WriteString(": here\n\n")
		}
		if b.Len() > 0 {
			said = time.Now()
			out.SetWriteDeadline(time.Now().Add(20 * time.Second))
			if _, err := w.Write(b.Bytes()); err != nil || out.Flush() != nil {
				return
			}
		}
		if over {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(livePace):
		}
	}
}

// screenAt finds the screen of a path.
func (s *Server) screenAt(path string) (screen, bool) {
	for _, x := range s.screens {
		if strings.TrimSuffix(x.path, "{$}") == path {
			return x, true
		}
	}
	return screen{}, false
}
