package page

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How long a session lives, and how many an account has at once: guests take no
// place of the admin's. They are in memory alone: a restart of the agent ends
// them.
const (
	sessionIdle = 2 * time.Hour
	sessionLife = 24 * time.Hour
	maxSessions = 64
)

// session is one login.
type session struct {
	account     string
	csrf        string // in every form
	begun, seen time.Time
	notice      *notice    // for the next page
	shown       Invitation // the last one that it gave out, with its token
}

// sessions are known by the hash of their token: who reads the memory of the
// node does not have them.
type sessions struct {
	now func() time.Time

	mu   sync.Mutex
	list map[[sha256.Size]byte]*session
}

// begin starts a session and returns its token.
func (s *sessions) begin(account string) string {
	token := newToken()
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[[sha256.Size]byte]*session{}
	}
	var oldest [sha256.Size]byte
	n := 0
	for k, x := range s.list {
		if x.over(now) {
			delete(s.list, k)
		} else if x.account == account {
			n++
			if o := s.list[oldest]; o == nil || x.seen.Before(o.seen) {
				oldest = k
			}
		}
	}
	if n >= maxSessions {
		delete(s.list, oldest)
	}
	s.list[sha256.Sum256([]byte(token))] = &session{account: account, csrf: newToken(), begun: now, seen: now}
	return token
}

func (x *session) over(now time.Time) bool {
	return now.Sub(x.seen) > sessionIdle || now.Sub(x.begun) > sessionLife
}

// get returns the session of a token, or nil. An event stream that is left
// open does not count as being there.
func (s *sessions) get(token string, touch bool) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := sha256.Sum256([]byte(token))
	x := s.list[k]
	if x == nil {
		return nil
	}
	if now := s.now(); x.over(now) {
		delete(s.list, k)
		return nil
	} else if touch {
		x.seen = now
	}
	return x
}

func (s *sessions) end(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.list, sha256.Sum256([]byte(token)))
}

// endAll ends the sessions of an account, but one.
func (s *sessions) endAll(account string, but *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, x := range s.list {
		if x.account == account && x != but {
			delete(s.list, k)
		}
	}
}

// with changes a session.
func (s *sessions) with(x *session, f func(*session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(x)
}

// valid says whether the request carries the session's token against forged
// requests.
func (x *session) valid(r *http.Request) bool {
	return subtle.ConstantTimeCompare([]byte(r.PostForm.Get("token")), []byte(x.csrf)) == 1
}

// Passwords may be wrong five times at once from one address, and then once
// in 20 seconds: 4,300 guesses a day at passwords of 54 bits.
const (
	guessesAtOnce = 5
	guessPause    = 20 * time.Second
	maxGuessers   = 2048
)

// limits counts wrong passwords by address and account: who knows the guest's
// password has no more guesses at the admin's.
type limits struct {
	now func() time.Time

	mu   sync.Mutex
	list map[guesses]*rate.Limiter
}

type guesses struct {
	from netip.Prefix
	at   string // the account; "" for all that there are not
}

func guessesOf(from netip.Addr, account string) guesses {
	if !slices.Contains(accounts, account) {
		account = ""
	}
	return guesses{guesser(from), account}
}

// guess takes a guess of the address, or says how long it must wait. It is
// taken before the password is looked at: many at once are many.
func (l *limits) guess(from netip.Addr, account string) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.list == nil {
		l.list = map[guesses]*rate.Limiter{}
	}
	now := l.now()
	k := guessesOf(from, account)
	x := l.list[k]
	if x == nil {
		if len(l.list) >= maxGuessers {
			l.tidy()
		}
		x = rate.NewLimiter(rate.Every(guessPause), guessesAtOnce)
		l.list[k] = x
	}
	if x.AllowN(now, 1) {
		return 0, true
	}
	return time.Duration((1 - x.TokensAt(now)) * float64(guessPause)), false
}

// right forgets the wrong guesses of an address that knew the password.
func (l *limits) right(from netip.Addr, account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.list, guessesOf(from, account))
}

// tidy forgets those who have waited long enough, or else anybody.
func (l *limits) tidy() {
	now := l.now()
	for k, x := range l.list {
		if x.TokensAt(now) >= guessesAtOnce {
			delete(l.list, k)
		}
	}
	for k := range l.list {
		if len(l.list) < maxGuessers {
			return
		}
		delete(l.list, k)
	}
}

// guesser is who counts as one: an IPv4 address, or an IPv6 network, of which
// a host has all addresses. In the mesh each node has one.
func guesser(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() && a.As16()[0]&0xfe != 0xfc {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// peer is the address that a request comes from.
func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(host)
	return a.Unmap()
}
