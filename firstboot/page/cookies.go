package page

import (
	"net/http"
	"strconv"
)

// sessionCookie is bound to this host by its prefix where browsers accept
// that (RFC 6265bis, section 4.1.3): over TLS.
func sessionCookie(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-cloudy-session"
	}
	return "cloudy-session"
}

func (s *Server) setSession(w http.ResponseWriter, r *http.Request, token string, age int) {
	setCookie(w, r, sessionCookie(r), token, age)
}

// setCookie sets a cookie whose value needs no quoting. An age in seconds of 0
// keeps it until the browser ends, a negative one ends it.
func setCookie(w http.ResponseWriter, r *http.Request, name, value string, age int) {
	c := name + "=" + value + "; Path=/; HttpOnly; SameSite=Lax"
	if age != 0 {
		c += "; Max-Age=" + strconv.Itoa(max(age, 0))
	}
	if r.TLS != nil {
		c += "; Secure"
	}
	w.Header().Add("Set-Cookie", c)
}

func sessionToken(r *http.Request) string {
	c, err := r.Cookie(sessionCookie(r))
	if err != nil {
		return ""
	}
	return c.Value
}
