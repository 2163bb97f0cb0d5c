package report

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"cloudy/builder/tree"
)

// Sized is a name with the bytes and files under it.
type Sized struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"` // packages only
	Section string `json:"section,omitempty"` // packages only
	Size    int64  `json:"size"`              // bytes of content
	Files   int    `json:"files"`             // files, a hard link is none
}

// Sizes says where the bytes of a root are. Lists stand largest first.
type Sizes struct {
	Total    int64   `json:"total"` // bytes of content, hard links counted once
	Files    int     `json:"files"`
	Packages []Sized `json:"packages"`
	Unowned  []Sized `json:"unowned"` // what no package owns, by folder
	Folders  []Sized `json:"folders"` // every folder with all below it

	folders map[string]*Sized
}

// Measure adds up a root's files by the package that owns them, by dpkg's
// lists, and by folder. A root without packages has all its files unowned.
func Measure(ctx context.Context, t *Root) (*Sizes, error) {
	packages, err := Packages(t)
	if err != nil && !errors.Is(err, ErrNoPackages) {
		return nil, err
	}
	owners, err := readOwners(ctx, t)
	if err != nil {
		return nil, err
	}
	s := &Sizes{folders: map[string]*Sized{}, Packages: []Sized{}, Unowned: []Sized{}, Folders: []Sized{}}
	byName, unowned := map[string]*Sized{}, map[string]*Sized{}
	for _, p := range packages {
		byName[p.key()] = &Sized{Name: p.Name, Version: p.Version, Section: p.Section}
		// The list of a package of one architecture is named by its name alone.
		if twin := byName[p.Name]; twin == nil {
			byName[p.Name] = byName[p.key()]
		} else {
			byName[p.key()].Name = p.key()
		}
	}
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Type == tree.Dir && e.Path != "." {
			s.folder(e.Path)
		}
		if e.Type != tree.File {
			continue
		}
		s.Total += e.Size
		s.Files++
		for dir := path.Dir(e.Path); ; dir = path.Dir(dir) {
			count(s.folder(dir), e.Size)
			if dir == "." {
				break
			}
		}
		owner := byName[owners[e.Path]]
		if owner == nil {
			owner = named(unowned, unownedGroup(e.Path))
		}
		count(owner, e.Size)
	}
	for name, p := range byName {
		if strings.Contains(name, ":") {
			s.Packages = append(s.Packages, *p)
		}
	}
	for _, u := range unowned {
		s.Unowned = append(s.Unowned, *u)
	}
	for _, f := range s.folders {
		s.Folders = append(s.Folders, *f)
	}
	for _, list := range [][]Sized{s.Packages, s.Unowned, s.Folders} {
		largestFirst(list)
	}
	return s, nil
}

func (s *Sizes) folder(path string) *Sized { return named(s.folders, path) }

func named(m map[string]*Sized, name string) *Sized {
	if m[name] == nil {
		m[name] = &Sized{Name: name}
	}
	return m[name]
}

func count(s *Sized, size int64) {
	s.Size += size
	s.Files++
}

func largestFirst(list []Sized) {
	slices.SortFunc(list, func(a, b Sized) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
	})
}

// unownedGroup is the folder under which an unowned file is listed: three
// levels deep below var and usr, where the interesting ones are, else two.
func unownedGroup(p string) string {
	parts := strings.Split(p, "/")
	depth := 2
	if parts[0] == "var" || parts[0] == "usr" {
		depth = 3
	}
	if len(parts) <= depth {
		return path.Dir(p)
	}
	return strings.Join(parts[:depth], "/")
}

const infoFolder = "var/lib/dpkg/info/"

// readOwners returns the package ("name" or "name:arch") that owns each path,
// out of dpkg's lists and diversions.
func readOwners(ctx context.Context, t *Root) (map[string]string, error) {
	diversions, err := readDiversions(t)
	if err != nil {
		return nil, err
	}
	alias := topLinks(t)
	owners := make(map[string]string, len(t.Entries))
	for i := range t.Entries {
		e := &t.Entries[i]
		name, ok := strings.CutSuffix(strings.TrimPrefix(e.Path, infoFolder), ".list")
		if !ok || e.Type != tree.File || !strings.HasPrefix(e.Path, infoFolder) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		content, err := t.read(e)
		if err != nil {
			return nil, err
		}
		bare, _, _ := strings.Cut(name, ":")
		for line := range bytes.Lines(content) {
			p := strings.TrimPrefix(string(bytes.TrimSpace(line)), "/")
			if d, ok := diversions[p]; ok && d.by != bare {
				p = d.to
			}
			p = alias.resolve(p)
			if owners[p] == "" {
				owners[p] = name
			}
		}
	}
	return owners, nil
}

// links are the symbolic links at the top of a root ("bin" to "usr/bin"),
// which dpkg's lists know nothing of.
type links map[string]string

func topLinks(t *Root) links {
	l := links{}
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Type == tree.Symlink && !strings.Contains(e.Path, "/") {
			l[e.Path] = strings.Trim(path.Clean(e.Link), "/")
		}
	}
	return l
}

func (l links) resolve(p string) string {
	top, rest, ok := strings.Cut(p, "/")
	if target := l[top]; ok && target != "" {
		return target + "/" + rest
	}
	return p
}

type diversion struct{ to, by string }

// readDiversions reads dpkg's diversions: three lines each, from, to and the
// package whose own file stays where it is (dpkg-divert(1)).
func readDiversions(t *Root) (map[string]diversion, error) {
	m := map[string]diversion{}
	e := t.Find("var/lib/dpkg/diversions")
	if e == nil || e.Type != tree.File {
		return m, nil
	}
	content, err := t.read(e)
	if err != nil {
		return nil, err
	}
	scan := bufio.NewScanner(bytes.NewReader(content))
	var lines []string
	for scan.Scan() {
		if lines = append(lines, scan.Text()); len(lines) == 3 {
			m[strings.TrimPrefix(lines[0], "/")] = diversion{strings.TrimPrefix(lines[1], "/"), lines[2]}
			lines = nil
		}
	}
	return m, scan.Err()
}
