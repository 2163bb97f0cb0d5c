package customise

import (
	"fmt"
	"strconv"
	"strings"
)

// AptSource is an archive as apt on the node is to know it.
type AptSource struct {
	Name       string
	URL        string
	Suites     []string
	Components []string
	Keyring    []byte   // nil: Debian's own, from the package debian-archive-keyring
	Only       []string // package globs; if any, nothing else is taken from there
	Pin        int      // priority; 0 is apt's default
}

const (
	aptFolder       = "etc/apt"
	debianKeyring   = "usr/share/keyrings/debian-archive-keyring.gpg"
	debianKeyringV2 = "usr/share/keyrings/debian-archive-keyring.pgp"
)

// AptSources tells apt on the node where its packages come from: the archives
// of the recipe, never the mirror that the build happened to use. What the
// recipe writes itself stays, and an image without apt gets nothing.
func (d *Delta) AptSources(list []AptSource) error {
	if e := d.find(aptFolder); e == nil {
		return nil
	}
	for i := range list {
		s := &list[i]
		key, err := d.keyring(s)
		if err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "Types: deb\nURIs: %s\nSuites: %s\n", s.URL, strings.Join(s.Suites, " "))
		if len(s.Components) > 0 {
			fmt.Fprintf(&b, "Components: %s\n", strings.Join(s.Components, " "))
		}
		if key != "" {
			fmt.Fprintf(&b, "Signed-By: /%s\n", key)
		}
		if err := d.unlessDeclared(aptFolder+"/sources.list.d/"+s.Name+".sources", b.String()); err != nil {
			return err
		}
		if pins := s.preferences(); pins != "" {
			if err := d.unlessDeclared(aptFolder+"/preferences.d/"+s.Name, pins); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Delta) unlessDeclared(path, content string) error {
	if d.Declares(path) {
		return nil
	}
	return d.write(path, 0o644, content)
}

// keyring returns the path of the source's keyring in the image, or "" where
// there is none.
func (d *Delta) keyring(s *AptSource) (string, error) {
	if s.Keyring != nil {
		path := aptFolder + "/keyrings/" + s.Name
		if strings.HasPrefix(string(s.Keyring), "-----BEGIN") {
			path += ".asc"
		} else {
			path += ".gpg"
		}
		return path, d.unlessDeclared(path, string(s.Keyring))
	}
	for _, path := range []string{debianKeyring, debianKeyringV2} {
		if d.find(path) != nil {
			return path, nil
		}
	}
	return "", nil
}

// preferences is the source's part of apt_preferences(5).
func (s *AptSource) preferences() string {
	if len(s.Only) == 0 && s.Pin == 0 {
		return ""
	}
	pin := s.Pin
	if pin == 0 {
		pin = 500
	}
	var b strings.Builder
	for _, suite := range s.Suites {
		match := "release n=" + suite
		if len(s.Only) > 0 {
			fmt.Fprintf(&b, "Package: %s\nPin: %s\nPin-Priority: %s\n\n", strings.Join(s.Only, " "), match, strconv.Itoa(pin))
			fmt.Fprintf(&b, "Package: *\nPin: %s\nPin-Priority: -1\n\n", match)
			continue
		}
		fmt.Fprintf(&b, "Package: *\nPin: %s\nPin-Priority: %s\n\n", match, strconv.Itoa(pin))
	}
	return b.String()
}
