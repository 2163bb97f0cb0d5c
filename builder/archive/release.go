package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"cloudy/builder/deb"
	"cloudy/builder/store"
)

// Release is the part of a Release file that a builder needs.
type Release struct {
	Origin, Label    string
	Suite, Codename  string
	Version          string
	Date             time.Time // UTC
	ValidUntil       time.Time // zero: for ever
	Architectures    []string
	Components       []string // without a prefix such as "updates/"
	AcquireByHash    bool
	NoAllIndexes     bool            // arch-all packages are in the indexes of every architecture
	NotAutomatic     bool            // apt pins it to 1
	ButAutomaticUpgr bool            // with NotAutomatic: to 100
	Files            map[string]File // by path below the suite
}

// File is a file that a Release file vouches for.
type File struct {
	SHA256 store.Digest
	Size   int64 // bytes
}

// ParseRelease reads the text of a Release file. It must be the signed text
// of an InRelease file, never the file itself.
func ParseRelease(text []byte) (*Release, error) {
	r, err := parseRelease(text)
	if err != nil {
		return nil, fmt.Errorf("release file: %w", err)
	}
	return r, nil
}

func parseRelease(text []byte) (*Release, error) {
	pr := deb.NewParagraphReader(bytes.NewReader(text))
	p, err := pr.Next()
	if err == io.EOF {
		return nil, errors.New("it is empty")
	}
	if err != nil {
		return nil, err
	}
	if _, err := pr.Next(); err != io.EOF {
		return nil, errors.New("more than one paragraph")
	}
	r := &Release{
		Origin: p.Get("Origin"), Label: p.Get("Label"), Suite: p.Get("Suite"), Codename: p.Get("Codename"),
		Version:          p.Get("Version"),
		Architectures:    strings.Fields(p.Get("Architectures")),
		AcquireByHash:    isYes(p.Get("Acquire-By-Hash")),
		NotAutomatic:     isYes(p.Get("NotAutomatic")),
		ButAutomaticUpgr: isYes(p.Get("ButAutomaticUpgrades")),
		Files:            map[string]File{},
	}
	for _, f := range strings.Fields(p.Get("No-Support-for-Architecture-all")) {
		r.NoAllIndexes = r.NoAllIndexes || f == "Packages"
	}
	for _, c := range strings.Fields(p.Get("Components")) {
		// Security suites say "updates/main" for what lies under main/.
		r.Components = append(r.Components, c[strings.LastIndexByte(c, '/')+1:])
	}
	if r.Date, err = parseDate(p.Get("Date")); err != nil {
		return nil, fmt.Errorf("field Date: %w", err)
	}
	if v := p.Get("Valid-Until"); v != "" {
		if r.ValidUntil, err = parseDate(v); err != nil {
			return nil, fmt.Errorf("field Valid-Until: %w", err)
		}
	}
	if !p.Has("SHA256") {
		return nil, errors.New("no SHA256 field")
	}
	return r, r.parseFiles(p.Get("SHA256"))
}

// parseFiles reads the lines "hash size path" of the SHA256 field.
func (r *Release) parseFiles(text string) error {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 {
			return fmt.Errorf("field SHA256: want hash, size and path, got %.100q", line)
		}
		d, err := store.ParseDigest(f[0])
		if err != nil {
			return fmt.Errorf("field SHA256: %w", err)
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || size < 0 {
			return fmt.Errorf("field SHA256: bad size %q of %s", f[1], f[2])
		}
		r.Files[f[2]] = File{SHA256: d, Size: size}
	}
	return nil
}

func isYes(s string) bool { return strings.EqualFold(s, "yes") }

// parseDate reads a date as RFC 822 has them; some archives write the day of
// the month with one digit. Zone names other than UTC and GMT are refused:
// nobody can tell what they mean.
func parseDate(text string) (time.Time, error) {
	if t, err := time.Parse("Mon, _2 Jan 2006 15:04:05 Z0700", text); err == nil {
		return t.UTC(), nil
	}
	t, err := time.Parse("Mon, _2 Jan 2006 15:04:05 MST", text)
	if err != nil {
		return time.Time{}, fmt.Errorf("not a date: %q", text)
	}
	if zone, _ := t.Zone(); zone != "UTC" && zone != "GMT" {
		return time.Time{}, fmt.Errorf("date %q is not in UTC", text)
	}
	return t.UTC(), nil
}

// check compares the Release file with what was asked for, and its dates
// with the clock.
func (r *Release) check(src Source, suite string, now time.Time) error {
	if r.Date.After(now.Add(maxSkew)) {
		return fmt.Errorf("%w: made on %s, but the clock says %s", ErrExpired, stamp(r.Date), stamp(now))
	}
	if !r.ValidUntil.IsZero() && now.After(r.ValidUntil) && !src.AllowExpired {
		return fmt.Errorf("%w: valid until %s, and the clock says %s", ErrExpired, stamp(r.ValidUntil), stamp(now))
	}
	if strings.HasSuffix(suite, "/") || (r.Suite == "" && r.Codename == "") {
		return nil // a flat or nameless repository
	}
	if suite != r.Suite && suite != r.Codename {
		return fmt.Errorf("%w: asked for %s, got suite %q, codename %q", ErrWrongSuite, suite, r.Suite, r.Codename)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
