package nodeconfig

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"
	"unicode"
	"unicode/utf8"
)

// Service is a service that the node can offer, as the recipe has it.
type Service struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Units       []string  `json:"units,omitempty"` // systemd units, started when the service is on
	Enabled     bool      `json:"enabled,omitempty"`
	Announce    *Announce `json:"announce,omitempty"`
	Health      *Health   `json:"health,omitempty"`
}

// Announce is a DNS-SD announcement (RFC 6763).
type Announce struct {
	Type string            `json:"type"` // "_http._tcp"
	Port int               `json:"port"`
	TXT  map[string]string `json:"txt,omitempty"` // one TXT string for each pair
}

// Health is how a service is checked. One of HTTP, TCP, Unit and Command is set.
type Health struct {
	HTTP     string   `json:"http,omitempty"` // URL that answers 2xx or 3xx
	TCP      int      `json:"tcp,omitempty"`  // port that accepts on the loopback
	Unit     string   `json:"unit,omitempty"` // systemd unit that is active
	Command  []string `json:"command,omitempty"`
	Interval Duration `json:"interval,omitempty"`
	Timeout  Duration `json:"timeout,omitempty"`
}

// Duration is a time.Duration that is text in JSON: "30s".
type Duration time.Duration

// MarshalText writes the duration as time.Duration.String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// MaxAnnounced is how many services a node can announce: members keep the
// lists of all.
const MaxAnnounced = 64

// Limits of one announcement.
const (
	maxName    = 63 // bytes: a label (RFC 6763, section 4.1.1)
	maxTXT     = 16
	maxTXTPair = 200 // bytes of key, "=" and value; a TXT string holds 255 (RFC 6763, section 6.1)
)

var (
	serviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]{0,62}$`)
	serviceType = regexp.MustCompile(`^_[A-Za-z0-9](?:[A-Za-z0-9-]{0,13}[A-Za-z0-9])?\._(tcp|udp)$`) // RFC 6335, section 5.1
	txtKey      = regexp.MustCompile(`^[\x20-\x3c\x3e-\x7e]{1,64}$`)                                 // RFC 6763, section 6.4
	unitName    = regexp.MustCompile(`^[A-Za-z0-9_:.\\][A-Za-z0-9_:.\\@-]{0,254}$`)                  // systemd.unit(5); never an option of systemctl
)

// ValidServiceType says whether t is a DNS-SD service type as RFC 6335 has it.
func ValidServiceType(t string) bool { return serviceType.MatchString(t) }

// Printable says whether s is text that can be shown, of at most max bytes.
func Printable(s string, max int) bool {
	if len(s) > max || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// AnnouncedName is under which name the service is announced: what it is, where
// that fits, and else its name.
func (s Service) AnnouncedName() string {
	if s.Description != "" && Printable(s.Description, maxName) {
		return s.Description
	}
	return s.Name
}

// CheckAnnouncement says what is wrong with an announcement: one that is wrong
// would keep all others of its node from being told.
func CheckAnnouncement(name string, a Announce) error {
	switch {
	case name == "" || !Printable(name, maxName):
		return fmt.Errorf("service name %.70q", name)
	case !ValidServiceType(a.Type):
		return fmt.Errorf("type: %.40q is no service type", a.Type)
	case a.Port < 1 || a.Port > 65535:
		return fmt.Errorf("port: %d is no port", a.Port)
	case len(a.TXT) > maxTXT:
		return fmt.Errorf("txt: %d strings are more than %d", len(a.TXT), maxTXT)
	}
	for k, v := range a.TXT {
		if !txtKey.MatchString(k) || len(k)+1+len(v) > maxTXTPair || !Printable(v, maxTXTPair) {
			return fmt.Errorf("txt: %.70q cannot be a TXT string: a printable key without =, and at most %d bytes of key and value", k, maxTXTPair-1)
		}
	}
	return nil
}

// Announces is how many of the services are announced when they are on.
func (c Config) Announces() (n int) {
	for _, s := range c.Services {
		if s.Announce != nil {
			n++
		}
	}
	return n
}

// checkServices returns every mistake of the services.
func (c Config) checkServices() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	seen := map[string]bool{}
	for i, s := range c.Services {
		if !serviceName.MatchString(s.Name) {
			bad("services[%d].name: %q is no service name", i, s.Name)
		}
		if seen[s.Name] {
			bad("services[%d].name: %q stands twice", i, s.Name)
		}
		seen[s.Name] = true
		for _, u := range s.Units {
			if !unitName.MatchString(u) {
				bad("services[%d].units: %q is no unit", i, u)
			}
		}
		if s.Announce != nil {
			if err := CheckAnnouncement("a", *s.Announce); err != nil {
				bad("services[%d].announce.%w", i, err)
			}
		}
		if s.Health != nil {
			if err := s.Health.check(); err != nil {
				bad("services[%d].health: %w", i, err)
			}
		}
	}
	if n := c.Announces(); n > MaxAnnounced {
		bad("services: %d are announced, more than %d", n, MaxAnnounced)
	}
	return errs
}

func (h Health) check() error {
	n := 0
	for _, set := range []bool{h.HTTP != "", h.TCP != 0, h.Unit != "", len(h.Command) > 0} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("%d of http, tcp, unit and command are set, not one", n)
	case h.TCP < 0 || h.TCP > 65535:
		return fmt.Errorf("tcp: %d is no port", h.TCP)
	case h.Unit != "" && !unitName.MatchString(h.Unit):
		return fmt.Errorf("unit: %q is no unit", h.Unit)
	case h.Interval < 0 || h.Timeout < 0:
		return errors.New("interval and timeout: less than nothing")
	}
	if h.HTTP != "" {
		if u, err := url.Parse(h.HTTP); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("http: %q is no URL of a web server", h.HTTP)
		}
	}
	return nil
}
