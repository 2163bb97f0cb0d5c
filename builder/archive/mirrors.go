package archive

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"cloudy/builder/fail"
)

// Mirror is one place that carries an archive.
type Mirror struct {
	URL    string // without a slash at the end
	Origin string // who says so: "--mirror", "CLOUDY_MIRROR", a file under /etc/apt, "the recipe" or "default"
}

// Mirrors knows the mirrors of archives by name.
type Mirrors struct{ byName map[string][]Mirror }

// MirrorConfig says where FindMirrors looks; the zero value looks nowhere
// but at the defaults.
type MirrorConfig struct {
	Flags  []string // values of --mirror: NAME=URL, or URL alone for "debian"
	Env    string   // the value of CLOUDY_MIRROR: the same, separated by white space
	AptDir string   // the host's /etc/apt; "" does not look there
}

// defaultMirrors are used when nobody names another. Signatures, not TLS,
// say what a file is, and these official names do not all serve https.
func defaultMirrors() map[string]string {
	return map[string]string{
		"debian":          "http://ftp.debian.org/debian",
		"debian-security": "http://security.debian.org/debian-security",
	}
}

// HostMirrors looks where the command line does: at flags, $CLOUDY_MIRROR
// and the host's apt sources.
func HostMirrors(flags []string) (*Mirrors, error) {
	return FindMirrors(MirrorConfig{Flags: flags, Env: os.Getenv("CLOUDY_MIRROR"), AptDir: "/etc/apt"})
}

// FindMirrors finds the mirrors of each archive. Those of the command line
// hide those of the environment, and these hide all others: who names a
// mirror means it. Else the host's apt sources come first and the official
// mirror last.
func FindMirrors(cfg MirrorConfig) (*Mirrors, error) {
	m := &Mirrors{map[string][]Mirror{}}
	flags, err := parseMirrors("--mirror", cfg.Flags)
	if err != nil {
		return nil, err
	}
	env, err := parseMirrors("CLOUDY_MIRROR", strings.Fields(cfg.Env))
	if err != nil {
		return nil, err
	}
	for name, list := range env {
		m.byName[name] = list
	}
	for name, list := range flags {
		m.byName[name] = list
	}
	chosen := map[string]bool{}
	for name := range m.byName {
		chosen[name] = true
	}
	if cfg.AptDir != "" {
		for _, s := range readAptSources(cfg.AptDir) {
			if name := archiveOfURL(s.URL); name != "" && !chosen[name] {
				m.add(name, s)
			}
		}
	}
	for name, u := range defaultMirrors() {
		if !chosen[name] {
			m.add(name, Mirror{u, "default"})
		}
	}
	return m, nil
}

func (m *Mirrors) add(name string, mirror Mirror) {
	same := func(o Mirror) bool { return o.URL == mirror.URL }
	if !slices.ContainsFunc(m.byName[name], same) {
		m.byName[name] = append(m.byName[name], mirror)
	}
}

// parseMirrors reads NAME=URL or URL values.
func parseMirrors(origin string, values []string) (map[string][]Mirror, error) {
	found := map[string][]Mirror{}
	for _, v := range values {
		name, u, ok := strings.Cut(v, "=")
		if !ok || strings.Contains(name, "/") { // a URL alone may hold "="
			name, u = "debian", v
		}
		u, err := cleanURL(u)
		if err != nil {
			return nil, fail.WithHint(fail.User, fmt.Errorf("%s: %w", origin, err),
				"Write a mirror as URL or NAME=URL, for example debian=http://ftp.debian.org/debian.")
		}
		found[name] = append(found[name], Mirror{u, origin})
	}
	return found, nil
}

// cleanURL checks a mirror's URL and takes slashes off its end; a path
// becomes a file URL.
func cleanURL(text string) (string, error) {
	if strings.HasPrefix(text, "/") {
		text = (&url.URL{Scheme: "file", Path: text}).String()
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("bad mirror: %w", err)
	}
	switch {
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	case u.Scheme == "file" && u.Host == "" && u.Path != "":
	default:
		return "", fmt.Errorf("bad mirror %q: want a http, https or file URL", text)
	}
	return strings.TrimRight(text, "/"), nil
}

// archiveOfURL tells which archive lies at a mirror's URL, by its path.
func archiveOfURL(u string) string {
	for _, name := range []string{"debian", "debian-security"} {
		if strings.HasSuffix(u, "/"+name) {
			return name
		}
	}
	return ""
}

// Names returns the archives that mirrors are known of, sorted.
func (m *Mirrors) Names() []string {
	var names []string
	for name := range m.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Named returns the mirrors of an archive, best first.
func (m *Mirrors) Named(name string) []Mirror { return slices.Clone(m.byName[name]) }

// For returns the mirrors of a source, best first: its own URL (or what the
// user put in its place with --mirror NAME=URL), the snapshot of its date,
// or the mirrors of its name. With none the error is marked fail.User.
func (m *Mirrors) For(src Source) ([]Mirror, error) {
	named := m.byName[src.mirrorName()]
	if src.URL != "" {
		if len(named) > 0 && (named[0].Origin == "--mirror" || named[0].Origin == "CLOUDY_MIRROR") {
			return slices.Clone(named), nil
		}
		u, err := cleanURL(src.URL)
		if err != nil {
			return nil, fail.Mark(fail.User, fmt.Errorf("archive %s: %w", src.Name, err))
		}
		return []Mirror{{u, "the recipe"}}, nil
	}
	if !src.Snapshot.IsZero() {
		var list []Mirror
		for _, s := range m.byName["snapshot"] {
			at := src.Snapshot.UTC().Format("20060102T150405Z")
			list = append(list, Mirror{s.URL + "/" + src.mirrorName() + "/" + at, s.Origin})
		}
		if len(list) == 0 {
			return nil, fail.WithHint(fail.User, fmt.Errorf("archive %s: no mirror of snapshots is known", src.Name),
				"Name one with --mirror snapshot=URL.")
		}
		return list, nil
	}
	if len(named) == 0 {
		return nil, fail.WithHint(fail.User, fmt.Errorf("archive %s: no mirror is known for it", src.Name),
			fmt.Sprintf("Give it a url in the recipe, or name one with --mirror %s=URL.", src.mirrorName()))
	}
	return slices.Clone(named), nil
}

// ParseSnapshot reads the time of a snapshot as Debian's snapshot service writes
// it (20250520T000000Z), a date (2025-05-20) or RFC 3339.
func ParseSnapshot(text string) (time.Time, error) {
	for _, layout := range []string{"20060102T150405Z", time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fail.WithHint(fail.User, fmt.Errorf("not a time of a snapshot: %q", text),
		"Write it as 2025-05-20 or 20250520T000000Z.")
}
